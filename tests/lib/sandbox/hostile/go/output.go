// expect: output limit
package main

import (
	"fmt"
	"testing"
)

func f(x int) int { for { fmt.Println("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") } }
