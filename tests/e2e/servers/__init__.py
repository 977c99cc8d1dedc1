"""Real mail servers and clients that the end-to-end tests and the benchmarks run privately on loopback.

install      fetches what is missing; `missing(name)` says why something cannot be used
processes    starts a program in a group of its own and ends that group whatever happens
postfix      a private Postfix in the roles the tests need
exim         a private Exim likewise, also for one client at a time
sendmail     a private Sendmail likewise
opensmtpd    a private OpenSMTPD likewise, but it serves no single clients
haraka       a private Haraka, receiving and sending
qpsmtpd      a private qpsmtpd, also for one client at a time
mailfront    a private mailfront likewise, in place of qmail-smtpd
aiosmtpd_server  a private server made with aiosmtpd
private      what those servers share: a folder, a port, maildirs
inetd        starts a command for each client, with the socket as stdin and stdout
tcpserver    what a program is told of its one client, and a connection for one
namespace    runs a program with other files at the paths it has compiled in
sink         a recording SMTP server of our own, with dialects and faults
clients      swaks, curl, msmtp, smtplib and raw bytes
senders      curl, msmtp, Net::SMTP, nodemailer, smtplib and swaks, called alike, with STARTTLS
crowd        many bare clients at once
load         smtp-source and smtp-sink
accounting   memory, CPU time and descriptors of processes
audit        what is wrong with a record, read back whole
need         skips a test by name
tarry        the front door itself, started as an operator starts it
"""
