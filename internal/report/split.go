package report

import "postrider/internal/smtp"

// For is what a transaction's outcome is for its i-th recipient alone: its own
// reply, if it came to that, and the message's fate. Of Each, his reply is it.
func (o *Outcome) For(i int) Outcome {
	own := *o
	own.Rcpts = nil
	if i >= len(o.Rcpts) {
		return own
	}
	r := o.Rcpts[i]
	if r.Permanent() && o.RcptLetter(i) == 's' {
		r.Code = 452 // 552 behind accepted recipients; alone it would read as final
	}
	own.Rcpts = []smtp.Reply{r}
	if o.Each && r.Positive() {
		own.Cause, own.Reply, own.InDoubt, own.Detail = Accepted, r, false, ""
	}
	return own
}
