//go:build !dskit

package main

import "errors"

func dskitVectors() []vector { return nil }

func unsnap([]byte) ([]byte, error) { return nil, errors.New("only Grafana's fork writes Snappy") }
