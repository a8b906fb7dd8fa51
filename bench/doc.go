// Package bench measures the parts of a delivery that every message pays for.
// Benchmarks of one package alone stand beside that package; here are those that
// need several, or a file of realistic size.
//
//	bench/deliveries   whole deliveries by process, across a network with delay
//	bench/baseline     programs that do nothing, to compare with
package bench
