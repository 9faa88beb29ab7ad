// Writes and reads data folders with Prometheus's own store.
//
//	tsdb write DIR START_MS xor|xor2   blocks, log, log of late samples, deletions: each kind of sample
//	tsdb dump DIR                      every sample, one a line: labels, time, start, value
//
// A line of the dump has tabs between its parts; labels are name=value with ';' between, a float is its bits
// in hexadecimal, a histogram its numbers and the buckets that are not empty.
package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	step  = 15_000
	steps = 5 * 240 // five hours
)

func main() {
	var err error
	switch {
	case len(os.Args) == 5 && os.Args[1] == "write":
		var start int64
		if start, err = strconv.ParseInt(os.Args[3], 10, 64); err == nil {
			err = write(os.Args[2], start, os.Args[4] == "xor2")
		}
	case len(os.Args) == 3 && os.Args[1] == "dump":
		err = dump(os.Args[2])
	default:
		err = fmt.Errorf("tsdb write DIR START_MS xor|xor2, or tsdb dump DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sample says what a series has at a step.
type sample func(i int64) (v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, ok bool)

type series struct {
	labels labels.Labels
	sample sample
	// Samples come so much later than they were taken.
	late int64
	// Counters begin anew at each multiple of so many steps.
	restart int64
}

func float(f func(i int64) float64) sample {
	return func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return f(i), nil, nil, true
	}
}

func all() []series {
	var list []series
	add := func(name string, s sample, late, restart int64, more ...string) {
		pairs := append([]string{"__name__", name, "job", "seed", "instance", "a:1"}, more...)
		list = append(list, series{labels.FromStrings(pairs...), s, late, restart})
	}
	for n := int64(0); n < 10; n++ {
		add("seed_requests_total", float(func(i int64) float64 { return float64((i % 700) * (n + 1) * 7) }), 0, 700, "n", strconv.FormatInt(n, 10))
	}
	add("seed_gauge", float(func(i int64) float64 { return math.Sin(float64(i)/9) * 1e-3 }), 0, 0)
	add("seed_constant", float(func(int64) float64 { return 42 }), 0, 0, "text", "a\"b\\c\nd ü")
	add("seed_odd", float(func(i int64) float64 {
		return []float64{math.Inf(1), math.Inf(-1), math.Float64frombits(value.NormalNaN), 0, math.Copysign(0, -1), 1e-310}[i%6]
	}), 0, 0)
	add("seed_sparse", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return float64(i), nil, nil, i%37 == 0
	}, 0, 0)
	add("seed_stale", float(func(i int64) float64 {
		if i%20 == 7 {
			return math.Float64frombits(value.StaleNaN)
		}
		return float64(i % 9)
	}), 0, 0)
	add("seed_deleted", float(func(i int64) float64 { return float64(i) }), 0, 0)
	add("seed_late", float(func(i int64) float64 { return float64(i) / 8 }), 40, 0)
	add("seed_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return 0, tsdbutil.GenerateTestHistogram(i % 300), nil, true
	}, 0, 300)
	add("seed_float_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return 0, nil, tsdbutil.GenerateTestFloatHistogram(i % 400), i%3 > 0
	}, 0, 400)
	add("seed_gauge_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return 0, tsdbutil.GenerateTestGaugeHistogram(i * 31 % 11), nil, true
	}, 0, 0)
	add("seed_custom_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return 0, tsdbutil.GenerateTestCustomBucketsHistogram(i % 500), nil, true
	}, 0, 500)
	add("seed_custom_float_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		return 0, nil, tsdbutil.GenerateTestCustomBucketsFloatHistogram(i), true
	}, 0, 0)
	add("seed_stale_histogram", func(i int64) (float64, *histogram.Histogram, *histogram.FloatHistogram, bool) {
		if i%50 == 9 {
			return 0, &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}, nil, true
		}
		return 0, tsdbutil.GenerateTestHistogram(i), nil, true
	}, 0, 0)
	return list
}

func write(dir string, start int64, xor2 bool) error {
	options := tsdb.DefaultOptions()
	options.OutOfOrderTimeWindow = 30 * 60 * 1000
	options.OutOfOrderCapMax = 8
	options.EnableExemplarStorage, options.MaxExemplars = true, 100
	options.EnableMetadataWALRecords = true
	options.MinBlockDuration = 30 * 60 * 1000
	options.MaxBlockDuration = 90 * 60 * 1000
	options.WALSegmentSize = 256 << 10
	options.WALCompression = compression.Snappy
	if xor2 {
		options.FloatChunkEncoding = chunkenc.EncXOR2
		options.EnableSTStorage, options.EnableHistogramSTEncoding = true, true
		options.WALCompression = compression.Zstd
	}
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), nil, options, nil)
	if err != nil {
		return err
	}
	db.DisableCompactions()
	ctx := context.Background()
	list := all()
	for i := int64(0); i < steps; i++ {
		app := db.AppenderV2(ctx)
		for n, s := range list {
			at := i - s.late
			if s.late > 0 && i%5 > 0 {
				at = i
			}
			v, h, fh, ok := s.sample(at)
			if !ok || at < 0 {
				continue
			}
			// Times of one target are alike but for one series that has its own.
			t := start + at*step
			if n == 10 {
				t += at * 7919 % 11
			}
			st := int64(0)
			if xor2 && s.restart > 0 {
				st = start + at/s.restart*s.restart*step - 500
			}
			more := storage.AppendV2Options{Metadata: metadata.Metadata{Type: model.MetricTypeCounter, Help: "seeded"}}
			if i%100 == 50 && n == 0 {
				more.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", strconv.FormatInt(i, 10)), Value: v, Ts: t, HasTs: true}}
			}
			// What lies too far back, or is there already, is refused: that is the store's to say.
			if _, err := app.Append(0, s.labels, st, t, v, h, fh, more); err != nil && s.late == 0 {
				return fmt.Errorf("%s at step %d: %w", s.labels, i, err)
			}
		}
		if err := app.Commit(); err != nil {
			return err
		}
		if i%240 == 239 && i < steps-240 {
			db.EnableCompactions()
			if err := db.Compact(ctx); err != nil {
				return err
			}
			db.DisableCompactions()
		}
		if i == steps-30 {
			deleted := labels.MustNewMatcher(labels.MatchEqual, "__name__", "seed_deleted")
			for _, part := range [][2]int64{{60, 130}, {steps - 120, steps - 60}} {
				if err := db.Delete(ctx, start+part[0]*step, start+part[1]*step, deleted); err != nil {
					return err
				}
			}
		}
	}
	db.ForceHeadMMap()
	return db.Close()
}

func dump(dir string) error {
	// As Prometheus opens it: a folder opened for reading alone takes blocks of late samples for the end of
	// what the log need not say.
	options := tsdb.DefaultOptions()
	options.RetentionDuration = math.MaxInt64 / 2
	options.OutOfOrderTimeWindow = 30 * 60 * 1000
	options.FloatChunkEncoding = chunkenc.EncXOR2
	options.EnableSTStorage, options.EnableHistogramSTEncoding = true, true
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), nil, options, nil)
	if err != nil {
		return err
	}
	db.DisableCompactions()
	defer db.Close()
	querier, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer querier.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	set := querier.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		var pairs []string
		series.Labels().Range(func(l labels.Label) { pairs = append(pairs, l.Name+"="+l.Value) })
		sort.Strings(pairs)
		name := strconv.Quote(strings.Join(pairs, ";"))
		it = series.Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			var text string
			switch kind {
			case chunkenc.ValFloat:
				_, v := it.At()
				text = fmt.Sprintf("%016x", math.Float64bits(v))
			default:
				_, h := it.AtFloatHistogram(nil)
				text = histogramText(h)
			}
			fmt.Fprintf(out, "%s\t%d\t%d\t%s\n", name, it.AtT(), it.AtST(), text)
		}
		if it.Err() != nil {
			return it.Err()
		}
	}
	return set.Err()
}

func histogramText(h *histogram.FloatHistogram) string {
	if value.IsStaleNaN(h.Sum) {
		return "stale"
	}
	number := func(f float64) string { return fmt.Sprintf("%016x", math.Float64bits(f)) }
	text := fmt.Sprintf("gauge=%t schema=%d count=%s sum=%s zero=%s/%s", h.CounterResetHint == histogram.GaugeType, h.Schema, number(h.Count), number(h.Sum), number(h.ZeroCount), number(h.ZeroThreshold))
	for it := h.PositiveBucketIterator(); it.Next(); {
		if b := it.At(); b.Count != 0 {
			text += fmt.Sprintf(" %d:%s", b.Index, number(b.Count))
		}
	}
	for it := h.NegativeBucketIterator(); it.Next(); {
		if b := it.At(); b.Count != 0 {
			text += fmt.Sprintf(" -%d:%s", b.Index, number(b.Count))
		}
	}
	for _, bound := range h.CustomValues {
		text += " " + number(bound)
	}
	return text
}
