// A Pub/Sub server for benchmarks: one subscription, whose messages are the lines of a file.
//
// Google's in-memory server goes through its whole backlog with every pull and a hundred times a second, which takes
// several times the processor time of the client that is to be measured, on the same cores. This one keeps a queue, so
// a message costs little more than its bytes on the wire. Leases, acknowledgements, what is given back and what is
// redelivered are as with Pub/Sub; it prints its address and lives until it is told to stop.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	subscription = "projects/capybeam/subscriptions/events"
	ackDeadline  = 60 * time.Second
	patience     = 500 * time.Millisecond // that a pull waits for a message, as Google's in-memory server does
	mostPulled   = 1000
)

type lease struct {
	delivery int // counted from 1: an older delivery's ID settles nothing
	until    time.Time
}

type server struct {
	pb.UnimplementedSubscriberServer
	lines     [][]byte
	published *timestamppb.Timestamp

	mu         sync.Mutex
	next       int   // the first line that was never delivered
	again      []int // lines to be redelivered
	leases     map[int]lease
	deliveries map[int]int // of those given back or expired
	checked    time.Time
}

func newServer(lines [][]byte) *server {
	return &server{
		lines:      lines,
		published:  timestamppb.Now(),
		leases:     map[int]lease{},
		deliveries: map[int]int{},
		checked:    time.Now(),
	}
}

func known(path string) error {
	if path != subscription {
		return status.Errorf(codes.NotFound, "subscription %q", path)
	}
	return nil
}

func (s *server) GetSubscription(_ context.Context, request *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	if err := known(request.Subscription); err != nil {
		return nil, err
	}
	return &pb.Subscription{
		Name:               subscription,
		Topic:              "projects/capybeam/topics/events",
		AckDeadlineSeconds: int32(ackDeadline.Seconds()),
	}, nil
}

func (s *server) Pull(ctx context.Context, request *pb.PullRequest) (*pb.PullResponse, error) {
	if err := known(request.Subscription); err != nil {
		return nil, err
	}
	most := min(int(request.MaxMessages), mostPulled)
	messages := s.take(most)
	if len(messages) == 0 && !request.ReturnImmediately {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(patience):
			messages = s.take(most)
		}
	}
	return &pb.PullResponse{ReceivedMessages: messages}, nil
}

func (s *server) take(most int) []*pb.ReceivedMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.expire(now)
	var messages []*pb.ReceivedMessage
	for len(messages) < most {
		var number int
		if len(s.again) > 0 {
			number, s.again = s.again[0], s.again[1:]
		} else if s.next < len(s.lines) {
			number = s.next
			s.next++
		} else {
			break
		}
		delivery := s.deliveries[number] + 1
		delete(s.deliveries, number)
		s.leases[number] = lease{delivery, now.Add(ackDeadline)}
		messages = append(messages, &pb.ReceivedMessage{
			AckId: fmt.Sprintf("%d:%d", number, delivery),
			Message: &pb.PubsubMessage{
				MessageId: strconv.Itoa(number), Data: s.lines[number], PublishTime: s.published,
			},
		})
	}
	return messages
}

// expire lets messages be redelivered whose lease has ended, once a second. Must be called with the lock held.
func (s *server) expire(now time.Time) {
	if now.Sub(s.checked) < time.Second {
		return
	}
	s.checked = now
	for number, held := range s.leases {
		if now.After(held.until) {
			s.giveBack(number, held)
		}
	}
}

func (s *server) giveBack(number int, held lease) {
	delete(s.leases, number)
	s.deliveries[number] = held.delivery
	s.again = append(s.again, number)
}

// leased finds what an ID is for, and whether that is still leased by it. Must be called with the lock held.
func (s *server) leased(ackID string) (int, lease, bool) {
	first, second, _ := strings.Cut(ackID, ":")
	number, err := strconv.Atoi(first)
	delivery, secondErr := strconv.Atoi(second)
	held, ok := s.leases[number]
	return number, held, err == nil && secondErr == nil && ok && held.delivery == delivery
}

func (s *server) Acknowledge(_ context.Context, request *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	if err := known(request.Subscription); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range request.AckIds {
		if number, _, ok := s.leased(id); ok {
			delete(s.leases, number)
		}
	}
	return &emptypb.Empty{}, nil
}

func (s *server) ModifyAckDeadline(
	_ context.Context, request *pb.ModifyAckDeadlineRequest,
) (*emptypb.Empty, error) {
	if err := known(request.Subscription); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Now().Add(time.Duration(request.AckDeadlineSeconds) * time.Second)
	for _, id := range request.AckIds {
		number, held, ok := s.leased(id)
		if !ok {
			continue
		}
		if request.AckDeadlineSeconds == 0 {
			s.giveBack(number, held)
		} else {
			s.leases[number] = lease{held.delivery, until}
		}
	}
	return &emptypb.Empty{}, nil
}

func main() {
	path := flag.String("messages", "", "a file, each line of which is a message")
	flag.Parse()
	content, err := os.ReadFile(*path)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service := grpc.NewServer()
	pb.RegisterSubscriberServer(service, newServer(bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))))
	fmt.Println(listener.Addr())
	fmt.Println(subscription)
	log.Fatal(service.Serve(listener))
}
