package main

import (
	"fmt"
	_ "unsafe" // for go:linkname
)

// decryptPayload is memberlist's own (security.go), so that what opens a frame here is what opens it in a member.
//
//go:linkname decryptPayload github.com/hashicorp/memberlist.decryptPayload
func decryptPayload(keys [][]byte, msg []byte, data []byte) ([]byte, error)

// seal says how a frame is encrypted.
type seal struct {
	KeysHex []string `json:"keysHex"`
	// LabelHex is the label in the associated data; an answer carries it nowhere else.
	LabelHex string `json:"labelHex"`
	Version  int    `json:"version"`
	// Key is the position of the key that opens it.
	Key int `json:"key"`
}

// testKeys are the keys of the rings, by their length in bytes.
func testKeys(lengths ...int) [][]byte {
	out := [][]byte{}
	for _, length := range lengths {
		key := make([]byte, length)
		for i := range key {
			key[i] = byte(length + 7*i)
		}
		out = append(out, key)
	}
	return out
}

// unseal takes the encryption off a frame (after its label header), and notes it; a frame that carries none comes back as it is.
func (v *vector) unseal(body []byte, keys [][]byte, label string) ([]byte, error) {
	if len(keys) == 0 {
		return body, nil
	}
	sealed, data := body, []byte(label)
	if v.isStream() {
		if body[0] != 10 {
			return body, nil
		}
		sealed, data = body[5:], append(append([]byte(nil), body[:5]...), label...)
	}
	hexes := []string{}
	for _, key := range keys {
		hexes = append(hexes, hexOf(key))
	}
	for i, key := range keys {
		plain, err := decryptPayload([][]byte{key}, append([]byte(nil), sealed...), data)
		if err != nil {
			continue
		}
		v.Layers = append(v.Layers, "encrypt")
		v.Seal = &seal{hexes, hexOf([]byte(label)), int(sealed[0]), i}
		return plain, nil
	}
	return nil, fmt.Errorf("no key opens it")
}

func (v *vector) isStream() bool {
	return v.Kind == "stream" || v.Kind == "dskit-stream" || v.Kind == "answer"
}
