// SPDX-License-Identifier: MIT

// Go's net/http. usage: busy PORT [busy]
// With "busy" a goroutine works for nobody, for ever, and gives way now and then.
// Routes: /health  /burn?us=N (of the thread's CPU)  /sleep?us=N  /size?n=N (a body of n bytes)
// X-Handler-CPU-Ns is what the handler's thread used; the handler is bound to it meanwhile.
package main

import (
	"bytes"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

func threadCPU() int64 {
	var t syscall.Timespec
	const clockThreadCPU = 3
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func number(r *http.Request, key string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(key), 10, 64)
	return n
}

func ok(w http.ResponseWriter, cpu int64) {
	w.Header().Set("X-Handler-CPU-Ns", strconv.FormatInt(cpu, 10))
	w.Write([]byte("ok"))
}

func burn(w http.ResponseWriter, r *http.Request) {
	runtime.LockOSThread()
	start := threadCPU()
	for threadCPU() < start+number(r, "us")*1000 {
	}
	cpu := threadCPU() - start
	runtime.UnlockOSThread()
	ok(w, cpu)
}

func sleep(w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(number(r, "us")) * time.Microsecond)
	ok(w, 0)
}

func size(w http.ResponseWriter, r *http.Request) {
	w.Write(bytes.Repeat([]byte("s"), int(number(r, "n"))))
}

var sink uint64

func work() {
	for {
		for i := 0; i < 200000; i++ {
			sink += uint64(i)
		}
		runtime.Gosched()
	}
}

func main() {
	http.HandleFunc("/burn", burn)
	http.HandleFunc("/sleep", sleep)
	http.HandleFunc("/size", size)
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { ok(w, 0) })
	if len(os.Args) > 2 {
		runtime.GOMAXPROCS(2)
		go work()
	}
	http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)
}
