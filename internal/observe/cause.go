package observe

import "postrider/internal/report"

// other is the cause that has no name.
const other = "other"

// causeOf names why a delivery ended as letter says.
func causeOf(o *report.Outcome, letter byte) string {
	if o.Cause == report.GaveUp || o.Cause == report.Accepted && letter != 'K' {
		return "recipient_refused"
	}
	return causeName(o.Cause)
}

func causeName(c report.Cause) string {
	switch c {
	case report.Accepted:
		return "accepted"
	case report.GaveUp:
		return "recipient_refused"
	case report.GreetingFailed:
		return "greeting_failed"
	case report.NameRejected:
		return "name_rejected"
	case report.SenderRefused:
		return "sender_refused"
	case report.DataRefused:
		return "data_refused"
	case report.ContentRefused:
		return "content_refused"
	case report.ConnectionDied:
		return "connection_died"
	case report.NotSMTP:
		return "not_smtp"
	case report.NoConnection:
		return "no_connection"
	case report.Busy:
		return "busy"
	case report.NoSuchHostYet:
		return "dns_failed"
	case report.NoSuchHost:
		return "no_such_host"
	case report.NoExchanger:
		return "no_exchanger"
	case report.NullMX:
		return "null_mx"
	case report.Ambiguous:
		return "ambiguous_mx"
	case report.TooLarge:
		return "too_large"
	case report.UTF8Unavailable:
		return "utf8_unavailable"
	}
	return ownCause(c)
}

// ownCause names what is our own trouble, or a policy's.
func ownCause(c report.Cause) string {
	switch c {
	case report.PartialLine:
		return "partial_line"
	case report.UnreadableMessage:
		return "unreadable_message"
	case report.UnreadableControl:
		return "unreadable_control"
	case report.NoHome:
		return "no_home"
	case report.OutOfMemory:
		return "out_of_memory"
	case report.NoResources:
		return "no_resources"
	case report.NoSource:
		return "no_source"
	case report.Usage:
		return "usage"
	case report.Crashed:
		return "crashed"
	case report.BadAddress:
		return "bad_address"
	case report.TLSRequired:
		return "tls_required"
	case report.DANEFailed:
		return "dane_failed"
	case report.STSFailed:
		return "sts_failed"
	case report.TLSLocal:
		return "tls_local"
	case report.AuthRefused:
		return "auth_refused"
	case report.AuthImpossible:
		return "auth_impossible"
	case report.RequireTLSFailed:
		return "requiretls_failed"
	}
	return other
}
