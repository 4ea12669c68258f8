// expect: early exit
package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func init() { go os.Exit(0); select {} }

func f(x int) int { return 0 }
