// Command kv is one dskit memberlist KV client over dskit's own TCP transport, as Tempo, Loki and Mimir run it. It holds ring descriptors
// under keys and takes commands (common/commands.go). dskit's log, with any "packet digest mismatch", goes to standard error.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/grafana/dskit/flagext"
	"github.com/grafana/dskit/kv/codec"
	"github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

type settings struct {
	name        string
	bind        string
	port        int
	advertise   string
	join        string
	label       string
	skipCheck   bool
	noCompress  bool
	compression string
	debug       bool
	tokens      int
	commands    string
	tlsCert     string
	tlsKey      string
	tlsCA       string
	tlsName     string
}

func main() {
	var s settings
	flag.StringVar(&s.name, "name", "", "node name")
	flag.StringVar(&s.bind, "bind", "127.0.0.1", "address to bind")
	flag.IntVar(&s.port, "port", 7946, "port to bind")
	flag.StringVar(&s.advertise, "advertise", "", "host:port to advertise, when it is not what is bound")
	flag.StringVar(&s.join, "join", "", "host:port,… to join at the start")
	flag.StringVar(&s.label, "cluster-label", "", "memberlist.cluster-label")
	flag.BoolVar(&s.skipCheck, "cluster-label-verification-disabled", false, "memberlist.cluster-label-verification-disabled")
	flag.BoolVar(&s.noCompress, "no-compress", false, "switch compression off")
	flag.StringVar(&s.compression, "compression", "lzw", "lzw or snappy")
	flag.BoolVar(&s.debug, "debug", false, "log every packet and stream")
	flag.IntVar(&s.tokens, "tokens", 128, "tokens of each instance that is written")
	flag.StringVar(&s.commands, "commands", "", "Unix socket to make and take commands from, instead of standard input")
	flag.StringVar(&s.tlsCert, "tls-cert", "", "memberlist.tls-cert-path; TLS is on with it")
	flag.StringVar(&s.tlsKey, "tls-key", "", "memberlist.tls-key-path")
	flag.StringVar(&s.tlsCA, "tls-ca", "", "memberlist.tls-ca-path")
	flag.StringVar(&s.tlsName, "tls-server-name", "", "memberlist.tls-server-name")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "kv:", err)
		os.Exit(1)
	}
}

// addresses is a DNSProvider for plain host:port entries.
type addresses struct{ list []string }

func (a *addresses) Resolve(_ context.Context, list []string) error { a.list = list; return nil }
func (a *addresses) Addresses() []string                            { return a.list }

func configure(s settings) (memberlist.KVConfig, error) {
	var cfg memberlist.KVConfig
	flagext.DefaultValues(&cfg)
	cfg.NodeName = s.name
	cfg.RandomizeNodeName = false
	cfg.AdvertiseAddr = s.bind
	cfg.AdvertisePort = s.port
	if s.advertise != "" {
		host, port, err := net.SplitHostPort(s.advertise)
		if err != nil {
			return cfg, err
		}
		cfg.AdvertiseAddr = host
		if cfg.AdvertisePort, err = strconv.Atoi(port); err != nil {
			return cfg, err
		}
	}
	if s.join != "" {
		cfg.JoinMembers = strings.Split(s.join, ",")
	}
	cfg.ClusterLabel = s.label
	cfg.ClusterLabelVerificationDisabled = s.skipCheck
	cfg.EnableCompression = !s.noCompress
	cfg.CompressionAlgorithm = s.compression
	cfg.PushPullInterval = 5 * time.Second
	cfg.LeaveTimeout = 2 * time.Second
	cfg.BroadcastTimeoutForLocalUpdatesOnShutdown = time.Second
	cfg.TCPTransport.BindAddrs = []string{s.bind}
	cfg.TCPTransport.BindPort = s.port
	cfg.TCPTransport.TransportDebug = s.debug
	cfg.TCPTransport.TLSEnabled = s.tlsCert != ""
	cfg.TCPTransport.TLS.CertPath = s.tlsCert
	cfg.TCPTransport.TLS.KeyPath = s.tlsKey
	cfg.TCPTransport.TLS.CAPath = s.tlsCA
	cfg.TCPTransport.TLS.ServerName = s.tlsName
	cfg.Codecs = []codec.Codec{ring.GetCodec()}
	return cfg, cfg.Validate()
}

// node holds what the commands work on.
type node struct {
	service  *memberlist.KVInitService
	kv       *memberlist.KV
	client   *memberlist.Client
	registry *prometheus.Registry
	tokens   int
}

func run(s settings) error {
	if s.name == "" {
		return fmt.Errorf("-name is missing")
	}
	if s.tokens < 1 || s.tokens > 1_000 {
		return fmt.Errorf("-tokens must be 1 to 1000")
	}
	cfg, err := configure(s)
	if err != nil {
		return err
	}
	n := &node{registry: prometheus.NewRegistry(), tokens: s.tokens}
	logger := log.With(log.NewLogfmtLogger(log.NewSyncWriter(os.Stderr)), "ts", log.DefaultTimestampUTC)
	n.service = memberlist.NewKVInitService(&cfg, logger, &addresses{}, n.registry)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	// Not ctx: the service ends when the context does that it was started with.
	if err := services.StartAndAwaitRunning(context.Background(), n.service); err != nil {
		return err
	}
	if n.kv, err = n.service.GetMemberlistKV(); err != nil {
		return err
	}
	if err := n.kv.AwaitRunning(ctx); err != nil {
		return err
	}
	if n.client, err = memberlist.NewClient(n.kv, ring.GetCodec()); err != nil {
		return err
	}
	events.emit("ready", map[string]any{"name": s.name})
	err = serveCommands(s.commands, n.obey)
	if stopped := services.StopAndAwaitTerminated(context.Background(), n.service); err == nil {
		err = stopped
	}
	return err
}

func (n *node) obey(words []string) (map[string]any, error) {
	args := append(words[1:], "", "", "")
	switch words[0] {
	case "join":
		count, err := n.kv.JoinMembers([]string{args[0]})
		return map[string]any{"count": count}, err
	case "cas":
		return n.cas(args[0], args[1], args[2])
	case "get":
		return n.get(args[0])
	case "members":
		return n.members()
	case "metrics":
		return n.metrics()
	}
	return nil, fmt.Errorf("no such command")
}

// members asks dskit's own status page, the only way to the member list, with a template of ours.
func (n *node) members() (map[string]any, error) {
	page := template.Must(template.New("").Parse("{{range .SortedMembers}}{{.Name}} {{.Addr}} {{.Port}}\n{{end}}"))
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	memberlist.NewHTTPStatusHandler(n.service, page).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
	out := []map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(recorder.Body.String()), "\n") {
		words := strings.Fields(line)
		if len(words) == 3 {
			out = append(out, map[string]any{"name": words[0], "address": words[1], "port": words[2]})
		}
	}
	return map[string]any{"members": out}, nil
}

func (n *node) metrics() (map[string]any, error) {
	families, err := n.registry.Gather()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return nil, err
		}
	}
	return map[string]any{"text": text.String()}, nil
}
