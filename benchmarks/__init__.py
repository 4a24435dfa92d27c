"""Speed against well-known libraries, growth with size, and the browser. Nothing else imports this."""
