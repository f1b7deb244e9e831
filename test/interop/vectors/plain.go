//go:build !dskit && !alertmanager

package main

import (
	"errors"

	"github.com/hashicorp/memberlist"
)

// compressions of a ring's traffic.
var compressions = []string{"", "lzw"}

func setCompression(conf *memberlist.Config, name string) { conf.EnableCompression = name != "" }

// otherVectors are those of another program than memberlist itself; replace: they stand alone.
func otherVectors() (vectors []vector, replace bool) { return nil, false }

// describeOther describes kinds that are no frames of memberlist's.
func (v *vector) describeOther([]byte) (bool, error) { return false, nil }

func unsnap([]byte) ([]byte, error) { return nil, errors.New("only Grafana's fork writes Snappy") }
