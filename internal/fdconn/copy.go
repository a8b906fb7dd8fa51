package fdconn

import "io"

// Side is an end of a pump: a Conn, or a TLS connection in like clothes.
type Side interface {
	io.ReadWriter
	CloseRead() error
	CloseWrite() error
}

// chunk holds two whole TLS records (RFC 8446 §5.1).
const chunk = 32 << 10

// Copy carries bytes from src to dst until one of them ends. The end of src, an
// error like an orderly one, is passed on as the end of what dst is sent; a dst
// that takes no more is passed back as the end of reading. So two Copies, one
// each way, end by themselves when either peer is gone.
//
// The errors are of the side that failed: reading is about src, writing about dst.
func Copy(dst, src Side) (reading, writing error) {
	buf := make([]byte, chunk)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				src.CloseRead()
				return nil, werr
			}
		}
		if err != nil {
			dst.CloseWrite()
			if err == io.EOF {
				err = nil
			}
			return err, nil
		}
	}
}
