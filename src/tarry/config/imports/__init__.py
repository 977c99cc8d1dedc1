"""imports - configurations of postscreen, qpsmtpd and Sendmail, read as ones of tarry."""
