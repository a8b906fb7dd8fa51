package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// copyFile writes a file to addr and waits until the other side has read it all.
// It prints the most memory that it ever had, in kB. It reads and writes as any
// program must that looks at the bytes: sendfile(2) would not.
func copyFile(file, addr string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	if _, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{f}, buf); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if _, err := conn.Read(buf); err != io.EOF {
		return fmt.Errorf("the end of the copy: %w", err)
	}
	peak, err := kilobytes("/proc/self/status", "VmHWM:")
	fmt.Println(peak)
	return err
}
