// early HOST:PORT SIZE REPEATS METHOD PATH STATUS [HEADER VALUE]
//
// Sends bodies that the server does not want, and expects each answer to have the status. After each answer the program
// sends another request, on the same connection as long as the server keeps it open.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

// unknownLength is a body that Go's client can neither measure nor send again.
type unknownLength struct{ io.Reader }

func main() {
	size, repeats, status := argument(2), argument(3), argument(6)
	client := &http.Client{}
	body := bytes.Repeat([]byte(" "), size)
	for _, chunked := range []bool{false, true} {
		for n := 0; n < repeats; n++ {
			var reader io.Reader = bytes.NewReader(body)
			if chunked {
				reader = unknownLength{reader}
			}
			request, err := http.NewRequest(os.Args[4], "http://"+os.Args[1]+os.Args[5], reader)
			failOn(n, err)
			if len(os.Args) > 8 {
				request.Header.Set(os.Args[7], os.Args[8])
			}
			answer, err := client.Do(request)
			failOn(n, err)
			expectStatus(n, answer, status)
			answer, err = client.Get("http://" + os.Args[1] + "/v2/")
			failOn(n, err)
			expectStatus(n, answer, 200, 401)
		}
	}
}

func argument(place int) int {
	value, err := strconv.Atoi(os.Args[place])
	failOn(0, err)
	return value
}

func failOn(n int, err error) {
	if err != nil {
		fmt.Printf("request %d: %v\n", n, err)
		os.Exit(1)
	}
}

func expectStatus(n int, answer *http.Response, statuses ...int) {
	_, err := io.Copy(io.Discard, answer.Body)
	failOn(n, err)
	failOn(n, answer.Body.Close())
	for _, status := range statuses {
		if answer.StatusCode == status {
			return
		}
	}
	failOn(n, fmt.Errorf("expected status %v, got %d", statuses, answer.StatusCode))
}
