//go:build nolabel

package main

import (
	"errors"

	"github.com/hashicorp/memberlist"
)

// setLabel refuses: this memberlist predates labels.
func setLabel(_ *memberlist.Config, label string, skipCheck bool) error {
	if label != "" || skipCheck {
		return errors.New("this memberlist predates labels")
	}
	return nil
}
