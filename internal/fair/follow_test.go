package fair

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// queued has one delivery run to key, of which only one may, and others come
// with offers 0, 1, ….
func queued(t *testing.T, ctx context.Context, g *Gate, n int) (*Pass, chan outcome) {
	first := enter(t, g, "a")
	ended := make(chan outcome, n)
	began := time.Now()
	for who := range n {
		go func() {
			p, err := g.EnterAs(ctx, "a", nil, who)
			ended <- outcome{who, p, err, time.Since(began)}
		}()
		synctest.Wait()
	}
	return first, ended
}

func fits(any) bool { return true }

// TestFollow: each takes the next along, in the order of the line, and no more
// run than may.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{PerHost: 1})
		p, ended := queued(t, t.Context(), g, 3)
		for who := range 3 {
			if p.Follow(func(any) bool { return false }) != nil {
				t.Error("who does not fit was taken")
			}
			f := p.Follow(fits)
			if f == nil || f.Offer != who {
				t.Fatalf("%d: took %+v", who, f)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if d := see(t, g, "a"); d.Running != 1 || d.Waiting != 2-who || len(ended) > 0 {
				t.Errorf("%d: %+v, and %d have ended to wait", who, d, len(ended))
			}
			f.Go("ride")
			p.Leave(OK)
			o := <-ended
			if o.who != who || o.err != nil || o.pass.With() != "ride" {
				t.Fatalf("%d: %+v", who, o)
			}
			if d := see(t, g, "a"); d.Running != 1 || d.Waiting != 2-who {
				t.Errorf("%d: then %+v", who, d)
			}
			p = o.pass
		}
		p.Leave(OK)
		if s := g.State(); s.Held != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestFollowCancelled: who has been taken stays so when its context ends, until Go.
func TestFollowCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{PerHost: 1})
		ctx, cancel := context.WithCancel(t.Context())
		p, ended := queued(t, ctx, g, 2)
		f := p.Follow(fits)
		cancel()
		synctest.Wait()
		if o := <-ended; o.who != 1 || !errors.Is(o.err, context.Canceled) {
			t.Errorf("%+v", o)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatalf("%+v", <-ended)
		}
		f.Go(nil)
		p.Leave(Unknown)
		o := <-ended
		if o.who != 0 || o.err != nil || o.pass.With() != nil {
			t.Errorf("%+v", o)
		}
		o.pass.Leave(Unknown)
		if s := g.State(); s.Held != 0 || s.Destinations[0].Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNobodyFollows: without an offer, behind trouble, and after the end.
func TestNobodyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{PerHost: 1})
		p := enter(t, g, "a")
		if p.Follow(fits) != nil {
			t.Error("there is no line")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := crowd(ctx, g, "a", 1)
		if p.Follow(fits) != nil {
			t.Error("there is no offer")
		}
		cancel()
		<-ended
		p.Leave(Silent)
		p, ended = queued(t, t.Context(), g, 1)
		if p.Follow(fits) != nil {
			t.Error("there was trouble")
		}
		p.Leave(OK)
		last := <-ended
		if p.Follow(fits) != nil {
			t.Error("followed somebody who has left")
		}
		last.pass.Leave(OK)
	})
}
