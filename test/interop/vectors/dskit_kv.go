//go:build dskit

package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	kv "github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/ring"
)

var fixed = time.Unix(1700000000, 0)

// instanceOf is one whose times do not depend on the run.
func instanceOf(desc *ring.Desc, id, zone string, state ring.InstanceState, tokens int, readOnly bool) {
	list := []uint32{}
	for i := 0; i < tokens; i++ {
		list = append(list, uint32(i*i*40503+len(id)))
	}
	one := desc.AddIngester(id, "10.1.0."+id[len(id)-1:]+":9095", zone, list, state, fixed, readOnly, fixed, ring.InstanceVersions{1: 300})
	one.Timestamp = fixed.Unix() + int64(tokens)
	desc.Ingesters[id] = one
}

func someRing() *ring.Desc {
	desc := ring.NewDesc()
	instanceOf(desc, "ingester-0", "zone-a", ring.ACTIVE, 3, false)
	instanceOf(desc, "ingester-1", "zone-b", ring.LEAVING, 0, true)
	return desc
}

// partitionOf is one of few tokens: dskit's own 512 only make the frame long.
func partitionOf(desc *ring.PartitionRingDesc, id int32, state ring.PartitionState) {
	desc.AddPartition(id, state, fixed)
	one := desc.Partitions[id]
	one.Tokens = one.Tokens[:id]
	desc.Partitions[id] = one
}

func somePartitions() *ring.PartitionRingDesc {
	desc := ring.NewPartitionRingDesc()
	partitionOf(desc, 1, ring.PartitionActive)
	partitionOf(desc, 7, ring.PartitionPending)
	desc.AddOrUpdateOwner("live-store-0", ring.OwnerActive, 1, fixed)
	return desc
}

// pairVectors are key-value pairs as dskit marshals them, alone and as a push/pull's user state, and node metadata.
func pairVectors() []vector {
	all := ring.NewDesc()
	for i, state := range []ring.InstanceState{ring.ACTIVE, ring.LEAVING, ring.PENDING, ring.JOINING, ring.LEFT, 9} {
		instanceOf(all, fmt.Sprintf("instance-%d", i), []string{"", "zone-a", "zone-ü"}[i%3], state, i*20, i%2 == 1)
	}
	partitions := ring.NewPartitionRingDesc()
	for i := 0; i < 6; i++ {
		partitionOf(partitions, int32(i), ring.PartitionState(i))
		partitions.AddOrUpdateOwner(fmt.Sprintf("owner-%d", i), ring.OwnerState(i%3), int32(i), fixed)
	}
	ringValue := func(desc *ring.Desc) []byte { return must(ring.GetCodec().Encode(desc)) }
	pairs := []kv.KeyValuePair{
		{Key: "collectors/ring", Value: ringValue(all), Codec: "ringDesc", UpdateTimeMillis: fixed.UnixMilli()},
		{Key: "collectors/ring", Value: ringValue(ring.NewDesc()), Codec: "ringDesc", Deleted: true, UpdateTimeMillis: -1},
		{Key: "collectors/partitions", Value: must(ring.GetPartitionRingCodec().Encode(partitions)), Codec: "partitionRingDesc"},
		{Key: "some/text", Value: []byte("plain"), Codec: "string"},
		{Codec: "ringDesc", Value: ringValue(someRing())},
		{},
	}
	out, state := []vector{}, []byte{}
	for i, p := range pairs {
		packed := must(p.Marshal())
		state = append(binary.BigEndian.AppendUint32(state, uint32(len(packed))), packed...)
		out = append(out, pairVector(fmt.Sprintf("key-value pair %d: key %q, codec %q", i, p.Key, p.Codec), "kv", packed))
	}
	out = append(out, pairVector("the user state of all pairs", "kv-run", state))
	for _, zone := range []string{"", "zone-a", "sixteen-byte-zon"} {
		for _, role := range []kv.NodeRole{kv.NodeRoleMember, kv.NodeRoleBridge} {
			meta := must(kv.EncodeNodeMetadata(role, zone))
			v := vector{Name: fmt.Sprintf("node metadata of a %s in zone %q", role, zone), Kind: "node-meta", Hex: hexOf(meta)}
			must(v.describeOther(meta))
			out = append(out, v)
		}
	}
	return out
}

func pairVector(name, kind string, packed []byte) vector {
	v := vector{Name: name, Kind: kind, Hex: hexOf(packed)}
	must(v.describeOther(packed))
	return v
}

// describeOther describes what dskit puts inside memberlist's frames.
func (v *vector) describeOther(packed []byte) (bool, error) {
	switch v.Kind {
	case "kv":
		return true, v.addPair(packed)
	case "kv-run":
		return true, v.addRun(packed)
	case "node-meta":
		meta := kv.EncodedNodeMetadata(packed)
		v.Meta = &nodeMeta{meta.Role().String(), meta.Zone()}
		return true, nil
	}
	return false, nil
}

// pairsInside decodes the user messages and user states that v's messages carry.
func (v *vector) pairsInside() error {
	for _, m := range v.Messages {
		var err error
		if body, ok := m.Fields["Body"].(string); ok {
			err = v.addPair(must(hex.DecodeString(body)))
		} else if state, ok := m.Fields["UserState"].(string); ok {
			err = v.addRun(must(hex.DecodeString(state)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *vector) addRun(state []byte) error {
	for len(state) > 0 {
		size := binary.BigEndian.Uint32(state)
		if err := v.addPair(state[4 : 4+size]); err != nil {
			return err
		}
		state = state[4+size:]
	}
	return nil
}

func (v *vector) addPair(packed []byte) error {
	var p kv.KeyValuePair
	if err := p.Unmarshal(packed); err != nil {
		return err
	}
	out := pair{Key: p.Key, Codec: p.Codec, Deleted: p.Deleted, UpdateTimeMs: p.UpdateTimeMillis}
	switch p.Codec {
	case "ringDesc":
		value, err := ring.GetCodec().Decode(p.Value)
		if err != nil {
			return err
		}
		out.addRing(value.(*ring.Desc))
	case "partitionRingDesc":
		value, err := ring.GetPartitionRingCodec().Decode(p.Value)
		if err != nil {
			return err
		}
		out.addPartitions(value.(*ring.PartitionRingDesc))
	default:
		out.ValueHex = hexOf(p.Value)
	}
	v.Pairs = append(v.Pairs, out)
	return nil
}

func (p *pair) addRing(desc *ring.Desc) {
	for id, one := range desc.Ingesters {
		state, ok := ring.InstanceState_name[int32(one.State)]
		if !ok {
			state = "unknown"
		}
		p.Instances = append(p.Instances, instance{
			Id: id, Address: one.Addr, Zone: one.Zone, State: state, Timestamp: one.Timestamp,
			Registered: one.RegisteredTimestamp, ReadOnly: one.ReadOnly, Tokens: len(one.Tokens),
		})
	}
	sort.Slice(p.Instances, func(i, j int) bool { return p.Instances[i].Id < p.Instances[j].Id })
}

func (p *pair) addPartitions(desc *ring.PartitionRingDesc) {
	named := func(names map[int32]string, state int32, prefix string) string {
		if name, ok := names[state]; ok {
			return strings.ToLower(strings.TrimPrefix(name, prefix))
		}
		return "unknown"
	}
	for id, one := range desc.Partitions {
		state := named(ring.PartitionState_name, int32(one.State), "Partition")
		p.Partitions = append(p.Partitions, partition{id, state, one.StateTimestamp, len(one.Tokens)})
	}
	for id, one := range desc.Owners {
		state := named(ring.OwnerState_name, int32(one.State), "Owner")
		p.Owners = append(p.Owners, owner{id, one.OwnedPartition, state, one.UpdatedTimestamp})
	}
	sort.Slice(p.Partitions, func(i, j int) bool { return p.Partitions[i].Id < p.Partitions[j].Id })
	sort.Slice(p.Owners, func(i, j int) bool { return p.Owners[i].Id < p.Owners[j].Id })
}
