// Package dnstest is DNS for tests, demonstrations and benchmarks: a zone written
// down in lines, answered in memory or from a real socket, with the faults that
// real servers have.
//
// It knows names, record types and how to misbehave on demand. It does not know
// what is being tested, nor package testing; no production package imports it.
package dnstest
