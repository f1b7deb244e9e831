// What the test programs share; copied beside each program's own source when it is built.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// emitter writes JSON lines from any goroutine.
type emitter struct {
	mu sync.Mutex
	to io.Writer
}

// events is standard output: what happens, as it happens.
var events = &emitter{to: os.Stdout}

func (e *emitter) emit(event string, fields map[string]any) {
	if fields == nil {
		fields = map[string]any{}
	}
	fields["event"] = event
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.to.Write(append(line, '\n'))
}

// serveCommands reads commands, one a line, from the Unix socket at path (one connection), or from standard input without one, and
// answers each with exactly one {"event":"done","command":…,"ok":…,"error":…} line on the same way. It ends at the end of input
// and after `quit`.
func serveCommands(path string, obey func(words []string) (map[string]any, error)) error {
	var from io.Reader = os.Stdin
	answers := events
	if path != "" {
		listener, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		events.emit("listening", nil)
		conn, err := listener.Accept()
		listener.Close()
		if err != nil {
			return err
		}
		defer conn.Close()
		from, answers = conn, &emitter{to: conn}
	}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		var fields map[string]any
		var err error
		if words[0] != "quit" {
			fields, err = obey(words)
		}
		if fields == nil {
			fields = map[string]any{}
		}
		fields["command"] = words[0]
		fields["ok"] = err == nil
		fields["error"] = text(err)
		answers.emit("done", fields)
		if words[0] == "quit" {
			break
		}
	}
	return lines.Err()
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
