package routes

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"postrider/internal/ascii"
	"postrider/internal/constmap"
)

// The cdb has, for each good line of smtproutes:
//
//	key     host in lower case, NUL
//	value   port (16 bits, big-endian), relay, NUL [user, NUL, ["!"] password, NUL]
//
// which tinycdb and skarnet's qmail-remote can read; so a port that goes without
// saying is written as 25. The only other key has no NUL at its end, so no host
// can have it: it is constmap's seal, with the stamp of the text.

var errValue = errors.New("routes: not a route in the cdb")

// inCDB looks host, in lower case, up in the cdb.
func inCDB(db *constmap.CDB, host string) (Route, bool, error) {
	buf := make([]byte, 0, 256)
	for key := range hostKeys(host) {
		buf = append(append(buf[:0], key...), 0)
		value, ok, err := db.Get(buf)
		if err != nil {
			return Route{}, false, err
		}
		if ok {
			r, err := decode(value)
			return r, err == nil, err
		}
	}
	return Route{}, false, nil
}

// build is the cdb of a text.
func build(text string, stamp []byte) ([]byte, error) {
	b := constmap.NewBuilder(stamp)
	var key, value []byte
	// The last line with a key counts, and the first record.
	for _, line := range slices.Backward(slices.Collect(lines(text))) {
		k, v, ok := constmap.Cut(line)
		if !ok {
			continue
		}
		r, ok := parseRoute(v, smtpPort)
		if !ok {
			continue
		}
		key = append(append(key[:0], ascii.ToLower(k)...), 0)
		value = encode(value[:0], r)
		b.Put(key, value)
	}
	return b.Bytes()
}

// encode appends the value of a route to b.
func encode(b []byte, r Route) []byte {
	port := r.Port
	if port == 0 {
		port = smtpPort
	}
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(append(b, r.Relay...), 0)
	if r.User != "" {
		b = append(append(b, r.User...), 0)
		if r.Clear {
			b = append(b, '!')
		}
		b = append(append(b, r.Password...), 0)
	}
	return b
}

// decode is the route in a value.
func decode(b []byte) (Route, error) {
	if len(b) < 3 || b[len(b)-1] != 0 {
		return Route{}, errValue
	}
	r := Route{Port: binary.BigEndian.Uint16(b)}
	if r.Port == smtpPort {
		r.Port = 0
	}
	fields := strings.Split(string(b[2:len(b)-1]), "\x00")
	r.Relay = fields[0]
	switch len(fields) {
	case 1:
	case 3:
		r.User = fields[1]
		r.Password, r.Clear = strings.CutPrefix(fields[2], "!")
	default:
		return Route{}, errValue
	}
	return r, nil
}
