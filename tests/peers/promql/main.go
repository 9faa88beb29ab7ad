// A driver around Prometheus's PromQL engine: reads questions as lines of JSON, answers as lines of
// JSON, over one store that it fills from a file of samples.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type question struct {
	Parse   string `json:"parse"`
	Query   string `json:"query"`
	Start   int64  `json:"start"`
	End     int64  `json:"end"`
	Step    int64  `json:"step"`
	Delayed bool   `json:"delayed"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	Points [][2]string       `json:"points"`
}

type answer struct {
	Error    string   `json:"error,omitempty"`
	Printed  string   `json:"printed,omitempty"`
	Pretty   string   `json:"pretty,omitempty"`
	Type     string   `json:"type,omitempty"`
	Series   []series `json:"series,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Infos    []string `json:"infos,omitempty"`
	Samples  int64    `json:"samples"`
	Read     int64    `json:"read"`
}

type span struct {
	Offset int32  `json:"offset"`
	Length uint32 `json:"length"`
}

type histogramLine struct {
	Hint          int       `json:"hint"`
	Schema        int32     `json:"schema"`
	ZeroThreshold float64   `json:"zero_threshold"`
	ZeroCount     float64   `json:"zero_count"`
	Count         float64   `json:"count"`
	Sum           float64   `json:"sum"`
	PositiveSpans []span    `json:"positive_spans"`
	Positive      []float64 `json:"positive"`
	NegativeSpans []span    `json:"negative_spans"`
	Negative      []float64 `json:"negative"`
	Bounds        []float64 `json:"bounds"`
}

type sampleLine struct {
	Labels    map[string]string `json:"labels"`
	Time      int64             `json:"time"`
	Start     int64             `json:"start"`
	Bits      uint64            `json:"bits"`
	Histogram *histogramLine    `json:"histogram"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func spans(in []span) []histogram.Span {
	var out []histogram.Span
	for _, s := range in {
		out = append(out, histogram.Span{Offset: s.Offset, Length: s.Length})
	}
	return out
}

func load(path, dir string) *tsdb.DB {
	options := tsdb.DefaultOptions()
	options.MinBlockDuration = int64(24 * time.Hour / time.Millisecond)
	options.MaxBlockDuration = options.MinBlockDuration
	options.RetentionDuration = 0
	options.EnableSTStorage = true
	options.FloatChunkEncoding = chunkenc.EncXOR2
	options.EnableHistogramSTEncoding = true
	db, err := tsdb.Open(dir, nil, nil, options, nil)
	check(err)
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	app := db.AppenderV2(context.Background())
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	for lines.Scan() {
		var s sampleLine
		check(json.Unmarshal(lines.Bytes(), &s))
		l := labels.FromMap(s.Labels)
		var fh *histogram.FloatHistogram
		if h := s.Histogram; h != nil {
			fh = &histogram.FloatHistogram{
				CounterResetHint: histogram.CounterResetHint(h.Hint), Schema: h.Schema,
				ZeroThreshold: h.ZeroThreshold, ZeroCount: h.ZeroCount, Count: h.Count, Sum: h.Sum,
				PositiveSpans: spans(h.PositiveSpans), PositiveBuckets: h.Positive,
				NegativeSpans: spans(h.NegativeSpans), NegativeBuckets: h.Negative, CustomValues: h.Bounds,
			}
		}
		_, err := app.Append(0, l, s.Start, s.Time, math.Float64frombits(s.Bits), nil, fh, storage.AppendV2Options{})
		check(err)
	}
	check(lines.Err())
	check(app.Commit())
	return db
}

func text(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func of(l labels.Labels, floats []promql.FPoint, histograms []promql.HPoint) series {
	s := series{Labels: l.Map(), Points: [][2]string{}}
	for _, f := range floats {
		s.Points = append(s.Points, [2]string{strconv.FormatInt(f.T, 10), text(f.F)})
	}
	for _, h := range histograms {
		s.Points = append(s.Points, [2]string{strconv.FormatInt(h.T, 10), h.H.Copy().String()})
	}
	sort.SliceStable(s.Points, func(i, j int) bool { return s.Points[i][0] < s.Points[j][0] })
	return s
}

func main() {
	dir, err := os.MkdirTemp("", "promql-peer")
	check(err)
	defer os.RemoveAll(dir)
	db := load(os.Args[1], dir)
	p := parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, ExperimentalDurationExpr: true,
		EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	})
	engine := func(delayed bool) *promql.Engine {
		return promql.NewEngine(promql.EngineOpts{
			MaxSamples: 50000000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
			NoStepSubqueryIntervalFn: func(int64) int64 { return 60000 },
			EnableDelayedNameRemoval: delayed, UseStartTimestamps: true, Parser: p,
		})
	}
	engines := map[bool]*promql.Engine{false: engine(false), true: engine(true)}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		var q question
		check(json.Unmarshal(in.Bytes(), &q))
		line, err := json.Marshal(ask(q, engines[q.Delayed], db, p))
		check(err)
		out.Write(line)
		out.WriteByte('\n')
		out.Flush()
	}
}

func ask(q question, engine *promql.Engine, db *tsdb.DB, p parser.Parser) answer {
	if q.Parse != "" {
		expr, err := p.ParseExpr(q.Parse)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Printed: expr.String(), Pretty: parser.Prettify(expr), Type: string(expr.Type())}
	}
	ctx := context.Background()
	var query promql.Query
	var err error
	start := time.UnixMilli(q.Start)
	if q.Step == 0 {
		query, err = engine.NewInstantQuery(ctx, db, nil, q.Query, start)
	} else {
		query, err = engine.NewRangeQuery(ctx, db, nil, q.Query, start, time.UnixMilli(q.End), time.Duration(q.Step)*time.Millisecond)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return answer{Error: result.Err.Error()}
	}
	counted := query.Stats().Samples
	a := answer{Type: string(result.Value.Type()), Samples: counted.TotalSamples, Read: counted.SamplesRead}
	a.Warnings, a.Infos = result.Warnings.AsStrings(q.Query, 0, 0)
	switch v := result.Value.(type) {
	case promql.Matrix:
		for _, s := range v {
			a.Series = append(a.Series, of(s.Metric, s.Floats, s.Histograms))
		}
	case promql.Vector:
		for _, s := range v {
			if s.H != nil {
				a.Series = append(a.Series, of(s.Metric, nil, []promql.HPoint{{T: s.T, H: s.H}}))
			} else {
				a.Series = append(a.Series, of(s.Metric, []promql.FPoint{{T: s.T, F: s.F}}, nil))
			}
		}
	case promql.Scalar:
		a.Series = []series{of(labels.EmptyLabels(), []promql.FPoint{{T: v.T, F: v.V}}, nil)}
	case promql.String:
		a.Series = []series{{Labels: map[string]string{"string": v.V}, Points: [][2]string{}}}
	}
	return a
}
