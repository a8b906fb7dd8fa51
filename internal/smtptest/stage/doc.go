// Package stage sets a dialogue up for who plays in it: its servers in memory,
// for a client in this process and simulated time, or its servers and its DNS
// in a network of their own, for a built program. It does not know the client.
package stage
