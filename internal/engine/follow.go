package engine

import (
	"postrider/internal/fair"
	"postrider/remote"
)

// follow is how a delivery that runs finds the next one for the same destination,
// which waits in line, to begin it in the flight that carries its own content.
func (e *Engine) follow(pass *fair.Pass) func(transactions int) *remote.Next {
	return func(transactions int) *remote.Next {
		if transactions+1 >= maxTransactions {
			return nil
		}
		f := pass.Follow(ready)
		if f == nil {
			return nil
		}
		return &remote.Next{Job: &f.Offer.(*trip).job, Go: func(r *remote.Ride) { f.Go(r) }}
	}
}

// ready reports whether a delivery in line can begin at once: nobody is
// waited for who might join its group.
func ready(offer any) bool {
	t, ok := offer.(*trip)
	return ok && t.group.unripe() <= 0
}
