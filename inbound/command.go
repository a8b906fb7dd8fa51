package inbound

import "strings"

// Command is one line of a client, divided as qmail's commands() divides it.
type Command struct {
	Verb string // as the client wrote it: compare with Is
	Arg  string // what follows the spaces after Verb, unstripped on the right
}

// Is reports whether the command has that verb, given in upper case.
func (c Command) Is(verb string) bool {
	return strings.EqualFold(c.Verb, verb) && len(c.Verb) == len(verb)
}

// Command reads the next command. Only the space, 0x20, divides.
func (c *Conn) Command() (Command, error) {
	line, err := c.Line()
	if err != nil {
		return Command{}, err
	}
	return ParseCommand(line), nil
}

// ParseCommand divides a line that has no line end.
func ParseCommand(line string) Command {
	verb, arg, _ := strings.Cut(line, " ")
	return Command{Verb: verb, Arg: strings.TrimLeft(arg, " ")}
}
