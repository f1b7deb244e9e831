package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"sort"
	"strconv"
	"time"

	"github.com/grafana/dskit/ring"
)

// cas adds `count` instances to the ring descriptor under `key`: `id`, or `id-0` and so on, with tokens that do not compress.
func (n *node) cas(key, id, count string) (map[string]any, error) {
	ids := []string{id}
	if count != "" {
		many, err := strconv.Atoi(count)
		if err != nil || many < 1 || many > 10_000 {
			return nil, fmt.Errorf("not a count: %q", count)
		}
		ids = nil
		for i := 0; i < many; i++ {
			ids = append(ids, fmt.Sprintf("%s-%d", id, i))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return nil, n.client.CAS(ctx, key, func(in any) (any, bool, error) {
		desc, ok := in.(*ring.Desc)
		if !ok || desc == nil {
			desc = ring.NewDesc()
		}
		now := time.Now()
		for _, id := range ids {
			desc.AddIngester(id, id+":9095", "zone-a", tokensOf(id, n.tokens), ring.ACTIVE, now, false, time.Time{}, nil)
		}
		return desc, true, nil
	})
}

// tokensOf makes `count` tokens, sorted as the ring wants them.
func tokensOf(id string, count int) []uint32 {
	hash := fnv.New32a()
	tokens := make([]uint32, count)
	for i := range tokens {
		fmt.Fprintf(hash, "%s %d", id, i)
		tokens[i] = hash.Sum32()
	}
	sort.Slice(tokens, func(i, j int) bool { return tokens[i] < tokens[j] })
	return tokens
}

// get lists the instances of the ring descriptor under `key`.
func (n *node) get(key string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	value, err := n.client.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	if desc, ok := value.(*ring.Desc); ok && desc != nil {
		for id := range desc.Ingesters {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return map[string]any{"instances": ids}, nil
}
