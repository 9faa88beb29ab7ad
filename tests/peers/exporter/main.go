// Command exporter serves metrics of every kind that Prometheus's client library knows, with native
// histograms, exemplars and created timestamps, in each format that it is asked for. They change only when
// /observe is asked, so that two who scrape it see the same. /asked gives for each User-Agent and parameter
// job the Accept and Accept-Encoding headers that came last; /fixed/ANY serves what was put there, with the content type that it was put with.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The metrics of one registry.
type metrics struct {
	requests *prometheus.CounterVec
	level    prometheus.Gauge
	took     *prometheus.SummaryVec
	classic  *prometheus.HistogramVec
	native   *prometheus.HistogramVec
	both     *prometheus.HistogramVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	path := []string{"path"}
	buckets := []float64{0.1, 1, 2.5, 1e6}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "requests_total", Help: "Requests \\ with\nlines.",
		}, path),
		level: prometheus.NewGauge(prometheus.GaugeOpts{Name: "level", Help: "A level."}),
		took: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "took_seconds", Help: "A summary.", Objectives: map[float64]float64{0.5: 0.05, 1: 0.001},
		}, path),
		classic: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "classic_seconds", Help: "Classic.", Buckets: buckets,
		}, path),
		native: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "native_seconds", Help: "Native.", NativeHistogramBucketFactor: 1.1,
		}, path),
		both: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "both_seconds", Help: "Both.", Buckets: buckets, NativeHistogramBucketFactor: 1.5,
		}, path),
	}
	registry.MustRegister(m.requests, m.level, m.took, m.classic, m.native, m.both)
	// One without observations, which only an empty span tells from a classic one.
	m.native.WithLabelValues("/none")
	return m
}

// observe adds observations, each time the same ones.
func (m *metrics) observe(round int) {
	for i, path := range []string{"/a", "/b\"é"} {
		trace := prometheus.Labels{"trace_id": fmt.Sprintf("%d-%d", round, i)}
		counter := m.requests.WithLabelValues(path).(prometheus.ExemplarAdder)
		counter.AddWithExemplar(float64(i+round), trace)
		for j := range 40 {
			value := float64((j+1)*(i+1)) * 0.07 * float64(round)
			if j%13 == 0 {
				value = -value
			}
			m.took.WithLabelValues(path).Observe(value)
			for _, histogram := range []*prometheus.HistogramVec{m.classic, m.native, m.both} {
				observer := histogram.WithLabelValues(path)
				if j%7 != 0 {
					observer.Observe(value)
					continue
				}
				example := prometheus.Labels{"trace_id": fmt.Sprintf("%d-%d-%d", round, i, j)}
				observer.(prometheus.ExemplarObserver).ObserveWithExemplar(value, example)
			}
		}
	}
	m.level.Set(-1.25 * float64(round))
}

// fixed is an answer that was put.
type fixed struct {
	contentType string
	body        []byte
}

type server struct {
	lock    sync.Mutex
	metrics *metrics
	handler http.Handler
	round   int
	asked   map[string]string
	fixed   map[string]fixed
}

func (s *server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	agent, _, _ := strings.Cut(r.UserAgent(), "/")
	who := agent + " " + r.URL.Query().Get("job")
	s.asked[who] = r.Header.Get("Accept") + " " + r.Header.Get("Accept-Encoding")
	s.handler.ServeHTTP(w, r)
}

func (s *server) serveObserve(http.ResponseWriter, *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.round++
	s.metrics.observe(s.round)
}

func (s *server) serveAsked(w http.ResponseWriter, _ *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for who, accept := range s.asked {
		fmt.Fprintf(w, "%s: %s\n", who, accept)
	}
}

func (s *server) serveFixed(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.fixed[r.URL.Path] = fixed{r.Header.Get("Content-Type"), body}
		return
	}
	answer := s.fixed[r.URL.Path]
	// An entry of nil keeps the library from guessing one.
	w.Header()["Content-Type"] = nil
	if answer.contentType != "" {
		w.Header().Set("Content-Type", answer.contentType)
	}
	w.Write(answer.body)
}

func main() {
	registry := prometheus.NewRegistry()
	options := promhttp.HandlerOpts{
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: true,
	}
	s := &server{
		metrics: newMetrics(registry),
		handler: promhttp.HandlerFor(registry, options),
		asked:   map[string]string{},
		fixed:   map[string]fixed{},
	}
	http.HandleFunc("/metrics", s.serveMetrics)
	http.HandleFunc("/observe", s.serveObserve)
	http.HandleFunc("/asked", s.serveAsked)
	http.HandleFunc("/fixed/", s.serveFixed)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}
