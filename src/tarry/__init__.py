"""tarry: the front door for mail servers."""
