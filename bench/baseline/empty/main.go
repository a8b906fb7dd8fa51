// Empty does nothing: what it costs to run it is what any Go program costs.
package main

func main() {}
