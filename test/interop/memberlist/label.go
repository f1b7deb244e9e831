//go:build !nolabel

package main

import "github.com/hashicorp/memberlist"

// setLabel sets what memberlist has had since v0.3.0.
func setLabel(conf *memberlist.Config, label string, skipCheck bool) error {
	conf.Label = label
	conf.SkipInboundLabelCheck = skipCheck
	return nil
}
