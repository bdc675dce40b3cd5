// Sends bodies that the server does not want, and reads its answers; then asks for something else, on the same
// connection where the server lets it.
//
// HOST:PORT SIZE REPEATS METHOD PATH STATUS [HEADER VALUE]
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

// What Go's client can neither measure nor send again.
type once struct{ io.Reader }

func main() {
	size, repeats, status := number(2), number(3), number(6)
	client := &http.Client{}
	body := bytes.Repeat([]byte(" "), size)
	for _, chunked := range []bool{false, true} {
		for n := 0; n < repeats; n++ {
			var reader io.Reader = bytes.NewReader(body)
			if chunked {
				reader = once{reader}
			}
			request, err := http.NewRequest(os.Args[4], "http://"+os.Args[1]+os.Args[5], reader)
			check(n, err)
			if len(os.Args) > 8 {
				request.Header.Set(os.Args[7], os.Args[8])
			}
			answer, err := client.Do(request)
			check(n, err)
			expect(n, answer, status)
			answer, err = client.Get("http://" + os.Args[1] + "/v2/")
			check(n, err)
			expect(n, answer, 200, 401)
		}
	}
}

func number(place int) int {
	value, err := strconv.Atoi(os.Args[place])
	check(0, err)
	return value
}

func check(n int, err error) {
	if err != nil {
		fmt.Printf("%d: %v\n", n, err)
		os.Exit(1)
	}
}

func expect(n int, answer *http.Response, statuses ...int) {
	_, err := io.Copy(io.Discard, answer.Body)
	check(n, err)
	check(n, answer.Body.Close())
	for _, status := range statuses {
		if answer.StatusCode == status {
			return
		}
	}
	check(n, fmt.Errorf("%d instead of %v", answer.StatusCode, statuses))
}
