//go:build !msgpack2

package main

import (
	"io"

	"github.com/hashicorp/go-msgpack/codec"
)

func newDecoder(reader io.Reader) *codec.Decoder {
	return codec.NewDecoder(reader, &codec.MsgpackHandle{})
}

func newEncoder(into *[]byte) *codec.Encoder {
	return codec.NewEncoderBytes(into, &codec.MsgpackHandle{})
}
