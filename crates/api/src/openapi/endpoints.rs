//! The endpoints below `/api/v1`, and what each takes and gives.

/// An endpoint.
pub struct Endpoint {
    /// Below `/api/v1`.
    pub path: &'static str,
    /// GET first where there is a choice.
    pub methods: &'static [&'static str],
    /// The part of the API that it belongs to.
    pub tag: &'static str,
    /// The name of the operation.
    pub id: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// What it gives.
    pub answer: Answer,
}

/// What an endpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JSON whose `data` has this type.
    Data(&'static str),
    /// A body of this media type.
    Other(&'static str),
    /// Server-sent events.
    Events,
    /// A status alone.
    Nothing,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of the path.
    Path,
    /// A text.
    Text,
    /// Any number of texts.
    Texts,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Truth,
    /// RFC 3339 or seconds.
    Time,
    /// `5m` or seconds.
    Duration,
}

/// Something that an endpoint takes.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether it has to be there.
    pub required: bool,
    /// What it means.
    pub description: &'static str,
}

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const GET_AND_POST: &[&str] = &["GET", "POST"];
const PUT_AND_POST: &[&str] = &["PUT", "POST"];

const fn needed(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, required: true, description }
}

const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, required: false, description }
}

const LIMIT: Parameter = optional("limit", Kind::Whole, "How many are told at most; 0 for all");
const SCRAPE_POOL: Parameter = needed("scrapePool", Kind::Text, "The job");
const QUERY: Parameter = needed("query", Kind::Text, "The expression");
const TIMEOUT: Parameter = optional(
    "timeout",
    Kind::Duration,
    "How long it may take; never longer than the server allows",
);
const LOOKBACK_DELTA: Parameter =
    optional("lookback_delta", Kind::Duration, "How far back a series may have its newest sample");
const STATS: Parameter = optional("stats", Kind::Text, "`true` or `all`: tell what it took");
const START: Parameter = optional("start", Kind::Time, "From when on");
const END: Parameter = optional("end", Kind::Time, "Until when");
const MATCH: Parameter =
    optional("match[]", Kind::Texts, "Selectors of series; one of them has to match");
const MATCH_NEEDED: Parameter =
    needed("match[]", Kind::Texts, "Selectors of series; one of them has to match");
const SEARCH: Parameter = optional("search[]", Kind::Texts, "What is looked for; any of them");
const FUZZ_THRESHOLD: Parameter =
    optional("fuzz_threshold", Kind::Whole, "What is less alike, in percent, does not count");
const FUZZ_ALG: Parameter = optional("fuzz_alg", Kind::Text, "`subsequence` or `jarowinkler`");
const CASE_SENSITIVE: Parameter =
    optional("case_sensitive", Kind::Truth, "Whether case counts; it does unless said otherwise");
const SORT_BY: Parameter = optional("sort_by", Kind::Text, "`alpha` or `score`");
const SORT_DIR: Parameter = optional("sort_dir", Kind::Text, "`asc` or `dsc`");
const INCLUDE_SCORE: Parameter = optional("include_score", Kind::Truth, "Tell how alike each is");
const BATCH_SIZE: Parameter = optional("batch_size", Kind::Whole, "How many results a line brings");
const METRIC: Parameter = optional("metric", Kind::Text, "Only this one");

/// All endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/query",
        methods: GET_AND_POST,
        tag: "query",
        id: "query",
        summary: "Evaluate an expression at one time",
        parameters: &[
            LIMIT,
            optional("time", Kind::Time, "When; now where it is left out"),
            QUERY,
            TIMEOUT,
            LOOKBACK_DELTA,
            STATS,
        ],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/query_range",
        methods: GET_AND_POST,
        tag: "query",
        id: "query-range",
        summary: "Evaluate an expression at many times",
        parameters: &[
            LIMIT,
            needed("start", Kind::Time, "The first time"),
            needed("end", Kind::Time, "The last time"),
            needed("step", Kind::Duration, "How far the times are apart"),
            QUERY,
            TIMEOUT,
            LOOKBACK_DELTA,
            STATS,
        ],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/query_exemplars",
        methods: GET_AND_POST,
        tag: "query",
        id: "query-exemplars",
        summary: "Exemplars of the series that an expression selects",
        parameters: &[START, END, QUERY],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/format_query",
        methods: GET_AND_POST,
        tag: "query",
        id: "format-query",
        summary: "Print an expression as it is to be read",
        parameters: &[QUERY],
        answer: Answer::Data("string"),
    },
    Endpoint {
        path: "/parse_query",
        methods: GET_AND_POST,
        tag: "query",
        id: "parse-query",
        summary: "The syntax tree of an expression",
        parameters: &[QUERY],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/labels",
        methods: GET_AND_POST,
        tag: "labels",
        id: "labels",
        summary: "Names of labels",
        parameters: &[START, END, MATCH, LIMIT],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/label/{name}/values",
        methods: GET,
        tag: "labels",
        id: "label-values",
        summary: "Values of a label",
        parameters: &[
            needed(
                "name",
                Kind::Path,
                "The label; a name that is not plain as U__ and its escapes",
            ),
            START,
            END,
            MATCH,
            LIMIT,
        ],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/series",
        methods: GET_AND_POST,
        tag: "series",
        id: "series",
        summary: "The labels of series",
        parameters: &[START, END, MATCH_NEEDED, LIMIT],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/search/metric_names",
        methods: GET_AND_POST,
        tag: "metadata",
        id: "search-metric-names",
        summary: "Metrics whose names are like what is typed",
        parameters: &[
            MATCH,
            SEARCH,
            FUZZ_THRESHOLD,
            FUZZ_ALG,
            CASE_SENSITIVE,
            SORT_BY,
            SORT_DIR,
            INCLUDE_SCORE,
            optional("include_metadata", Kind::Truth, "Tell type, help and unit"),
            START,
            END,
            LIMIT,
            BATCH_SIZE,
        ],
        answer: Answer::Other("application/x-ndjson"),
    },
    Endpoint {
        path: "/search/label_names",
        methods: GET_AND_POST,
        tag: "labels",
        id: "search-label-names",
        summary: "Labels whose names are like what is typed",
        parameters: &[
            MATCH,
            SEARCH,
            FUZZ_THRESHOLD,
            FUZZ_ALG,
            CASE_SENSITIVE,
            SORT_BY,
            SORT_DIR,
            INCLUDE_SCORE,
            START,
            END,
            LIMIT,
            BATCH_SIZE,
        ],
        answer: Answer::Other("application/x-ndjson"),
    },
    Endpoint {
        path: "/search/label_values",
        methods: GET_AND_POST,
        tag: "labels",
        id: "search-label-values",
        summary: "Values of a label that are like what is typed",
        parameters: &[
            needed("label", Kind::Text, "The label"),
            MATCH,
            SEARCH,
            FUZZ_THRESHOLD,
            FUZZ_ALG,
            CASE_SENSITIVE,
            SORT_BY,
            SORT_DIR,
            INCLUDE_SCORE,
            START,
            END,
            LIMIT,
            BATCH_SIZE,
        ],
        answer: Answer::Other("application/x-ndjson"),
    },
    Endpoint {
        path: "/metadata",
        methods: GET,
        tag: "metadata",
        id: "get-metadata",
        summary: "Type, help and unit of metrics",
        parameters: &[
            LIMIT,
            optional("limit_per_metric", Kind::Whole, "How many are told of each metric"),
            METRIC,
        ],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/targets",
        methods: GET,
        tag: "targets",
        id: "get-targets",
        summary: "What is collected and scraped",
        parameters: &[
            optional("scrapePool", Kind::Text, "Only those of this job"),
            optional("state", Kind::Text, "`active`, `dropped` or `any`"),
        ],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/targets/metadata",
        methods: GET,
        tag: "targets",
        id: "get-targets-metadata",
        summary: "Metrics of targets",
        parameters: &[optional("match_target", Kind::Text, "A selector of targets"), METRIC, LIMIT],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/scrape_pools",
        methods: GET,
        tag: "targets",
        id: "get-scrape-pools",
        summary: "The jobs",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/scrape_pools/config",
        methods: GET,
        tag: "targets",
        id: "get-scrape-pools-config",
        summary: "How the targets of a job are scraped",
        parameters: &[SCRAPE_POOL],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/targets/relabel_steps",
        methods: GET,
        tag: "targets",
        id: "get-targets-relabel-steps",
        summary: "What the rules of a job make of labels, rule by rule",
        parameters: &[SCRAPE_POOL, needed("labels", Kind::Text, "Labels as a JSON object")],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/rules",
        methods: GET,
        tag: "rules",
        id: "rules",
        summary: "Rules; there are none yet",
        parameters: &[
            optional("type", Kind::Text, "`alert` or `record`"),
            optional("match[]", Kind::Texts, "Selectors of rules"),
        ],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/alerts",
        methods: GET,
        tag: "alerts",
        id: "alerts",
        summary: "Alerts; there are none yet",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/alertmanagers",
        methods: GET,
        tag: "alerts",
        id: "alertmanagers",
        summary: "Alertmanagers; there are none yet",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/config",
        methods: GET,
        tag: "status",
        id: "get-status-config",
        summary: "The configuration file",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/runtimeinfo",
        methods: GET,
        tag: "status",
        id: "get-status-runtimeinfo",
        summary: "The process",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/buildinfo",
        methods: GET,
        tag: "status",
        id: "get-status-buildinfo",
        summary: "What the program was built from",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/flags",
        methods: GET,
        tag: "status",
        id: "get-status-flags",
        summary: "The command line",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/tsdb",
        methods: GET,
        tag: "status",
        id: "status-tsdb",
        summary: "What takes most room: metrics, labels, targets, and series that ended",
        parameters: &[LIMIT],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/tsdb/blocks",
        methods: GET,
        tag: "status",
        id: "status-tsdb-blocks",
        summary: "The blocks of the store",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/walreplay",
        methods: GET,
        tag: "status",
        id: "get-status-walreplay",
        summary: "How far the opening of the data folder is",
        parameters: &[],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/status/self_metrics",
        methods: GET,
        tag: "status",
        id: "get-status-self-metrics",
        summary: "Our own metrics",
        parameters: &[optional(
            "metric_name_pattern",
            Kind::Text,
            "A regular expression for whole names",
        )],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/admin/tsdb/delete_series",
        methods: PUT_AND_POST,
        tag: "admin",
        id: "deleteSeries",
        summary: "Delete samples; needs --web.enable-admin-api",
        parameters: &[MATCH_NEEDED, START, END],
        answer: Answer::Nothing,
    },
    Endpoint {
        path: "/admin/tsdb/clean_tombstones",
        methods: PUT_AND_POST,
        tag: "admin",
        id: "cleanTombstones",
        summary: "Give back the room of what was deleted; needs --web.enable-admin-api",
        parameters: &[],
        answer: Answer::Nothing,
    },
    Endpoint {
        path: "/admin/tsdb/snapshot",
        methods: PUT_AND_POST,
        tag: "admin",
        id: "snapshot",
        summary: "Copy what is kept to the folder `snapshots`; needs --web.enable-admin-api",
        parameters: &[optional("skip_head", Kind::Truth, "Leave out what is not in a block yet")],
        answer: Answer::Data("object"),
    },
    Endpoint {
        path: "/read",
        methods: POST,
        tag: "remote",
        id: "remoteRead",
        summary: "Remote read",
        parameters: &[],
        answer: Answer::Other("application/x-protobuf"),
    },
    Endpoint {
        path: "/write",
        methods: POST,
        tag: "remote",
        id: "remoteWrite",
        summary: "Remote write 1.0 and 2.0; needs --web.enable-remote-write-receiver",
        parameters: &[],
        answer: Answer::Nothing,
    },
    Endpoint {
        path: "/otlp/v1/metrics",
        methods: POST,
        tag: "otlp",
        id: "otlpWrite",
        summary: "OpenTelemetry's metrics; needs --web.enable-otlp-receiver",
        parameters: &[],
        answer: Answer::Other("application/x-protobuf"),
    },
    Endpoint {
        path: "/notifications",
        methods: GET,
        tag: "notifications",
        id: "get-notifications",
        summary: "What a person should know now",
        parameters: &[],
        answer: Answer::Data("array"),
    },
    Endpoint {
        path: "/notifications/live",
        methods: GET,
        tag: "notifications",
        id: "notifications-live",
        summary: "The same, whenever it changes",
        parameters: &[],
        answer: Answer::Events,
    },
    Endpoint {
        path: "/features",
        methods: GET,
        tag: "features",
        id: "get-features",
        summary: "What is there, by part",
        parameters: &[],
        answer: Answer::Data("object"),
    },
];
