package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// asked is a frame that somebody else wrote.
type asked struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Hex      string   `json:"hex"`
	LabelHex string   `json:"labelHex"`
	KeysHex  []string `json:"keysHex"`
}

// readFrames tells for each line of input what Go makes of its frame, as a vector or as {"error"}: the label is
// removed, the encryption opened, and the messages decoded by the same code that describes memberlist's own frames.
func readFrames(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64*1024*1024)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		var a asked
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return err
		}
		v, err := a.read()
		if err != nil {
			err = encoder.Encode(map[string]string{"name": a.Name, "error": err.Error()})
		} else {
			err = encoder.Encode(v)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func (a asked) read() (v vector, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("panic: %v", broken)
		}
	}()
	frame, err := hex.DecodeString(a.Hex)
	if err != nil {
		return v, err
	}
	v = vector{Name: a.Name, Kind: a.Kind, Hex: a.Hex}
	if known, err := v.describeOther(frame); known || err != nil {
		return v, err
	}
	body, label, err := unlabel(frame)
	if err != nil {
		return v, err
	}
	if label != "" {
		v.LabelHex = hexOf([]byte(label))
		v.Layers = append(v.Layers, "label")
	}
	// An answer's label is known to both sides only.
	aad := label
	if a.Kind == "answer" {
		told, err := hex.DecodeString(a.LabelHex)
		if err != nil {
			return v, err
		}
		aad = string(told)
	}
	keys := [][]byte{}
	for _, text := range a.KeysHex {
		key, err := hex.DecodeString(text)
		if err != nil {
			return v, err
		}
		keys = append(keys, key)
	}
	if body, err = v.unseal(body, keys, aad); err != nil {
		return v, err
	}
	return v, v.describe(body)
}
