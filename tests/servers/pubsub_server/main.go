// Google's in-memory Pub/Sub server, for tests and the example: it prints its address and lives until it is told to stop.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failingOnce answers the first call that there is no server.
type failingOnce struct{ failed atomic.Bool }

func (f *failingOnce) React(any) (bool, any, error) {
	if f.failed.Swap(true) {
		return false, nil, nil
	}
	return true, nil, status.Error(codes.Unavailable, "the service is unavailable")
}

func main() {
	port := flag.Int("port", 0, "of the loopback interface; 0 takes a free one")
	deny := flag.String("deny", "", "calls that nobody has permission for, as in GetSubscription,Pull")
	fail := flag.String("fail", "", "calls that fail the first time, as in GetSubscription,Pull")
	flag.Parse()
	var options []pstest.ServerReactorOption
	for _, call := range strings.FieldsFunc(*deny, func(r rune) bool { return r == ',' }) {
		options = append(options, pstest.WithErrorInjection(call, codes.PermissionDenied, "permission denied"))
	}
	for _, call := range strings.FieldsFunc(*fail, func(r rune) bool { return r == ',' }) {
		options = append(options, pstest.ServerReactorOption{FuncName: call, Reactor: &failingOnce{}})
	}
	server := pstest.NewServerWithPort(*port, options...)
	defer server.Close()
	fmt.Println(server.Addr)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}
