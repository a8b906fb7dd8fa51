// Package options is the command line that ucspi-tlsd and its TLS process have
// in common.
//
// It knows letters and their meanings. It links nothing: ucspi-tlsd must start
// quickly, without the cryptography that its TLS process has.
package options

import (
	"strconv"
	"strings"
	"time"
)

// Ask is whether clients are asked for a certificate.
type Ask uint8

const (
	Nothing  Ask = iota
	Optional     // -Y
	Demanded     // -y
)

// Patience is how long a handshake may take if -K says nothing. s6-ucspitlsd
// waits for ever, which lets any stranger keep a process.
const Patience = time.Minute

// Options are those of s6-ucspitlsd and s6-tlsd where they have one.
type Options struct {
	AtOnce      bool          // -t: TLS from the first byte; otherwise UCSPI-TLS
	CloseNotify bool          // -S: close_notify when the program ends its output; -s: only when it is gone
	StrictEnd   bool          // -J: a TCP end without close_notify is an error
	Client      Ask           // -Y, -y
	KeepEnv     bool          // -Z: the program sees CERTFILE and the like
	Verbosity   int           // -v: 0 silent, 1 failures, 2 also what went well
	Handshake   time.Duration // -K; 0 is no limit
	SNI         int           // -k: 0 one certificate, 1 also those of names, 2 only those of names
}

// Parse reads args, which begin behind the program's name, as getopt does:
// flags may be bundled, a value may stand beside its letter or in the next
// argument, "--" ends the options. What is left is the program to run.
func Parse(args []string) (o Options, prog []string, ok bool) {
	o = Options{Verbosity: 1, Handshake: Patience, SNI: 1}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		letters := args[0][1:]
		args = args[1:]
		if letters == "-" {
			break
		}
		for letters != "" {
			c := letters[0]
			letters = letters[1:]
			if o.flag(c) {
				continue
			}
			if letters == "" && len(args) > 0 {
				letters, args = args[0], args[1:]
			}
			if !o.value(c, letters) {
				return Options{}, nil, false
			}
			letters = ""
		}
	}
	return o, args, true
}

func (o *Options) flag(c byte) bool {
	switch c {
	case 't':
		o.AtOnce = true
	case 'S', 's':
		o.CloseNotify = c == 'S'
	case 'J', 'j':
		o.StrictEnd = c == 'J'
	case 'Y':
		o.Client = Optional
	case 'y':
		o.Client = Demanded
	case 'Z', 'z':
		o.KeepEnv = c == 'Z'
	default:
		return false
	}
	return true
}

func (o *Options) value(c byte, value string) bool {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return false
	}
	switch c {
	case 'v':
		o.Verbosity = int(n)
	case 'K':
		o.Handshake = time.Duration(n) * time.Millisecond
	case 'k':
		o.SNI = int(n)
	default:
		return false
	}
	return true
}

// Args is what Parse makes o of again, one argument per group of options.
func (o Options) Args() []string {
	flags := strings.Builder{}
	flags.WriteByte('-')
	for _, f := range [...]struct {
		is     bool
		letter byte
	}{
		{o.AtOnce, 't'}, {o.CloseNotify, 'S'}, {o.StrictEnd, 'J'},
		{o.Client == Optional, 'Y'}, {o.Client == Demanded, 'y'}, {o.KeepEnv, 'Z'},
	} {
		if f.is {
			flags.WriteByte(f.letter)
		}
	}
	flags.WriteString("v" + strconv.Itoa(o.Verbosity))
	return []string{flags.String(), "-K" + strconv.FormatInt(o.Handshake.Milliseconds(), 10), "-k" + strconv.Itoa(o.SNI)}
}
