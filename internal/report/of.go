package report

import "postrider/internal/smtp"

// Of says what became of a delivery whose conversation with host ended as t.
func Of(t smtp.Transaction, host string) Outcome {
	o := Outcome{Host: host, Reply: t.Reply, Rcpts: t.Rcpts, TLS: t.TLS, InDoubt: t.InDoubt(), Detail: t.Detail}
	if t.Fault != smtp.NoFault {
		if o.Cause = ofFault(t); o.Cause == ConnectionDied {
			o.Detail = "" // stock's sentence, to the byte
		}
		return o
	}
	switch t.Stage {
	case smtp.AtGreeting, smtp.AtEHLO:
		o.Cause = GreetingFailed
		if t.Stage == smtp.AtEHLO {
			o.Cause = NameRejected
		}
	case smtp.AtHELO:
		o.Cause = NameRejected
	case smtp.AtTLS:
		o.Cause = TLSRequired
	case smtp.AtAuth:
		o.Cause = AuthRefused
	case smtp.AtMail:
		o.Cause, o.Rcpts = SenderRefused, nil // as stock: no recipient reports
	case smtp.AtRcpt:
		o.Cause = GaveUp
	case smtp.AtData:
		o.Cause = DataRefused
	case smtp.AtBody, smtp.AtDot:
		o.Cause = ContentRefused
	case smtp.AtQuit:
		o.Cause = Accepted
	}
	return o
}

func ofFault(t smtp.Transaction) Cause {
	switch t.Fault {
	case smtp.Garbled, smtp.NoChunking:
		return NotSMTP
	case smtp.TooLarge:
		return TooLarge
	case smtp.NeedsUTF8:
		return UTF8Unavailable
	case smtp.PartialLine:
		return PartialLine
	case smtp.Unreadable:
		return UnreadableMessage
	case smtp.NoTLS, smtp.TLSFailed:
		return TLSRequired
	case smtp.TLSLocal:
		return TLSLocal
	case smtp.NoMechanism, smtp.WouldReveal:
		return AuthImpossible
	}
	return ConnectionDied // Dropped, TimedOut: silence reads as death, as in stock qmail
}
