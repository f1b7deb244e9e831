// Command am is the clustered part of Alertmanager, its own packages `cluster` (gossip over TLS or not) and `silence`: it holds silences
// and takes commands (common/commands.go). Alertmanager's log goes to standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type settings struct {
	name      string
	bind      string
	join      string
	label     string
	tlsConfig string
	commands  string
}

func main() {
	var s settings
	flag.StringVar(&s.name, "name", "", "node name")
	flag.StringVar(&s.bind, "bind", "127.0.0.1:9094", "host:port to bind and advertise")
	flag.StringVar(&s.join, "join", "", "host:port,… to join at the start")
	flag.StringVar(&s.label, "label", "", "cluster.label")
	flag.StringVar(&s.tlsConfig, "tls-config", "", "cluster.tls-config")
	flag.StringVar(&s.commands, "commands", "", "Unix socket to make and take commands from, instead of standard input")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "am:", err)
		os.Exit(1)
	}
}

// node holds what the commands work on.
type node struct {
	peer     *cluster.Peer
	silences *silence.Silences
}

func run(s settings) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tls, err := cluster.GetTLSTransportConfig(s.tlsConfig)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	known := []string{}
	if s.join != "" {
		known = strings.Split(s.join, ",")
	}
	peer, err := cluster.Create(logger, registry, s.bind, s.bind, known, false, 3*time.Second, cluster.DefaultGossipInterval,
		cluster.DefaultTCPTimeout, cluster.DefaultResolvePeersTimeout, cluster.DefaultProbeTimeout, cluster.DefaultProbeInterval,
		tls, false, s.label, s.name)
	if err != nil {
		return err
	}
	silences, err := silence.New(silence.Options{Retention: time.Hour, Logger: logger, Metrics: registry})
	if err != nil {
		return err
	}
	channel := peer.AddState("sil", silences, registry)
	silences.SetBroadcast(channel.Broadcast)
	// A peer that is not there yet, or refused, is tried again.
	_ = peer.Join(2*time.Second, time.Hour)
	n := &node{peer: peer, silences: silences}
	events.emit("ready", map[string]any{"name": s.name})
	err = serveCommands(s.commands, n.obey)
	if left := peer.Leave(2 * time.Second); err == nil {
		err = left
	}
	return err
}

func (n *node) obey(words []string) (map[string]any, error) {
	args := append(words[1:], "", "")
	switch words[0] {
	case "silence":
		return nil, n.silence(args[0], strings.Join(words[2:], " "))
	case "silences":
		return n.list()
	case "members":
		out := []map[string]any{}
		for _, member := range n.peer.Peers() {
			out = append(out, map[string]any{"name": member.Name(), "address": member.Address()})
		}
		return map[string]any{"members": out}, nil
	}
	return nil, fmt.Errorf("no such command")
}

// silence adds one for the alert `name`. A long comment makes it too large for a gossip packet, so that it travels by a stream.
func (n *node) silence(name, comment string) error {
	now := time.Now()
	matcher := &silencepb.Matcher{Type: silencepb.Matcher_EQUAL, Name: "alertname", Pattern: name}
	return n.silences.Set(context.Background(), &silencepb.Silence{
		MatcherSets: []*silencepb.MatcherSet{{Matchers: []*silencepb.Matcher{matcher}}},
		StartsAt:    timestamppb.New(now),
		EndsAt:      timestamppb.New(now.Add(time.Hour)),
		CreatedBy:   "am",
		Comment:     comment,
	})
}

func (n *node) list() (map[string]any, error) {
	found, _, err := n.silences.Query(context.Background())
	if err != nil {
		return nil, err
	}
	comments := []string{}
	for _, one := range found {
		comments = append(comments, one.Comment)
	}
	sort.Strings(comments)
	return map[string]any{"silences": comments}, nil
}
