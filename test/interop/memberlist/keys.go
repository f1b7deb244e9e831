package main

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/hashicorp/memberlist"
)

// ring is the member's keyring, for the commands that change it while it runs.
var ring *memberlist.Keyring

// setKeys encrypts the gossip when there are keys.
func setKeys(conf *memberlist.Config, s settings) error {
	if s.keys == "" {
		return nil
	}
	var keys [][]byte
	for _, text := range strings.Split(s.keys, ",") {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	var err error
	ring, err = memberlist.NewKeyring(keys, keys[0])
	conf.Keyring = ring
	conf.GossipVerifyIncoming = s.verifyIn
	conf.GossipVerifyOutgoing = s.verifyOut
	return err
}

// changeKeys adds a key, makes one the primary one, or removes one.
func changeKeys(how, text string) error {
	if ring == nil {
		return fmt.Errorf("the gossip is not encrypted")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	switch how {
	case "addkey":
		return ring.AddKey(key)
	case "usekey":
		return ring.UseKey(key)
	}
	return ring.RemoveKey(key)
}
