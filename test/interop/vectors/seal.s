// Without a body in Go: the linker finds it (seal.go).
