//! A receiver that is right by being simple: requests are read with the general reader of protobuf,
//! and what it does with each of them a test decides.

use model::prompb::read_histogram;
use model::protobuf::Message;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a receiver does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Takes it, and says what it wrote where it is 2.0.
    Take,
    /// As Prometheus does with 1.0: takes all or nothing, and nothing where a sample is older than the
    /// newest of its series.
    TakeInOrder,
    /// Takes it, but closes before it says so.
    TakeAndClose,
    /// Closes after some bytes of the body.
    CloseMidBody,
    /// Answers with a status and more header lines, and takes nothing.
    Answer(u16, &'static str),
    /// Takes it after a while.
    Slow(Duration),
}

/// A series with its labels as text.
pub type Series = String;

/// What came, and how.
#[derive(Default)]
pub struct Got {
    /// Samples by series and time: the bits of floats, or a histogram's text.
    pub samples: BTreeMap<Series, BTreeMap<i64, String>>,
    /// Exemplars by series, with their time: labels and bits of the value.
    pub exemplars: BTreeMap<Series, Vec<(i64, String)>>,
    /// Those of the request that is being read.
    reading: Vec<(Series, i64, String)>,
    /// Samples that came more than once.
    pub twice: usize,
    /// Families by name, as type, help, unit.
    pub families: BTreeMap<String, (u64, String, String)>,
    /// Headers of each request, names in lower case.
    pub headers: Vec<HashMap<String, String>>,
    /// How many samples each request had that was read whole.
    pub sizes: Vec<usize>,
    /// Samples that came in an order that a series may not have.
    pub out_of_order: usize,
}

type Decide = Box<dyn Fn(usize) -> Do + Send + Sync>;

/// A receiver on a port of its own.
pub struct Receiver {
    pub address: SocketAddr,
    pub got: Arc<Mutex<Got>>,
    decide: Arc<Mutex<Decide>>,
    ended: Arc<AtomicBool>,
}

impl Receiver {
    /// Begins; `decide` is asked with the number of the request.
    pub fn start(decide: impl Fn(usize) -> Do + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        Receiver::over(listener, decide)
    }

    fn over(
        listener: TcpListener,
        decide: impl Fn(usize) -> Do + Send + Sync + 'static,
    ) -> Receiver {
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver {
            address,
            got: Arc::default(),
            decide: Arc::new(Mutex::new(Box::new(decide))),
            ended: Arc::default(),
        };
        let (got, decide) = (receiver.got.clone(), receiver.decide.clone());
        let (ended, requests) = (receiver.ended.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (got, decide, requests) = (got.clone(), decide.clone(), requests.clone());
                std::thread::spawn(move || {
                    let _ = serve(stream, &got, &decide, &requests); // the other side closed
                });
            }
        });
        receiver
    }

    /// Does something else from now on.
    pub fn now(&self, decide: impl Fn(usize) -> Do + Send + Sync + 'static) {
        *self.decide.lock().expect("locks") = Box::new(decide);
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    pub fn count(&self) -> usize {
        self.got.lock().expect("locks").samples.values().map(BTreeMap::len).sum()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    mut stream: TcpStream,
    got: &Mutex<Got>,
    decide: &Mutex<Decide>,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut headers = HashMap::new();
        for line in head.lines().skip(1) {
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length: usize = headers["content-length"].parse().expect("a length");
        let todo = decide.lock().expect("locks")(requests.fetch_add(1, Ordering::Relaxed));
        let mut body = vec![0; if todo == Do::CloseMidBody { length / 2 } else { length }];
        stream.read_exact(&mut body)?;
        let v2 = headers["content-type"].contains("v2");
        got.lock().expect("locks").headers.push(headers);
        let mut status = 204;
        let mut more = String::new();
        match &todo {
            Do::CloseMidBody => return Ok(()),
            Do::Answer(code, lines) => {
                status = *code;
                more.push_str(lines);
            }
            Do::Slow(time) => std::thread::sleep(*time),
            _ => {}
        }
        if !matches!(todo, Do::Answer(..)) {
            let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
            let mut got = got.lock().expect("locks");
            got.reading.clear();
            let read = if v2 { read_v2(&bytes, &mut got) } else { read_v1(&bytes, &mut got) };
            got.sizes.push(read.len());
            let floats = read.iter().filter(|r| !r.2.starts_with('{')).count();
            if v2 {
                more.push_str(&format!(
                    "X-Prometheus-Remote-Write-Samples-Written: {floats}\r\n\
                     X-Prometheus-Remote-Write-Histograms-Written: {}\r\n\
                     X-Prometheus-Remote-Write-Exemplars-Written: {}\r\n",
                    read.len() - floats,
                    got.reading.len(),
                ));
            }
            if !got.take(read, todo == Do::TakeInOrder) {
                status = 400;
            }
        }
        if todo == Do::TakeAndClose {
            return Ok(());
        }
        let text = if status == 204 { "" } else { "said the receiver" };
        write!(
            stream,
            "HTTP/1.1 {status} Status\r\n{more}Content-Length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

impl Got {
    fn take(&mut self, read: Vec<(Series, i64, String)>, in_order: bool) -> bool {
        let exemplars = std::mem::take(&mut self.reading);
        let mut newest: HashMap<Series, (i64, String)> = HashMap::new();
        for (series, time, value) in &read {
            let last = newest.get(series).cloned().or_else(|| {
                let (time, value) = self.samples.get(series)?.last_key_value()?;
                Some((*time, value.clone()))
            });
            if let Some((last, before)) = last
                && (*time < last || *time == last && before != *value)
            {
                self.out_of_order += 1;
                if in_order {
                    return false;
                }
            }
            newest.insert(series.clone(), (*time, value.clone()));
        }
        for (series, time, text) in exemplars {
            let kept = self.exemplars.entry(series).or_default();
            // As Prometheus does: one that is there is no mistake.
            if !kept.contains(&(time, text.clone())) {
                kept.push((time, text));
            }
        }
        for (series, time, value) in read {
            let before = self.samples.entry(series).or_default().insert(time, value);
            self.twice += usize::from(before.is_some());
        }
        true
    }
}

fn text(labels: &BTreeMap<String, String>) -> Series {
    labels.iter().map(|(n, v)| format!("{n}={v:?},")).collect()
}

fn float(mut message: Message<'_>) -> (i64, String) {
    let (mut time, mut value) = (0, 0.0);
    while let Some(field) = message.next().expect("reads") {
        match field.number {
            1 => value = field.double().expect("a double"),
            2 => time = field.integer().expect("a time"),
            _ => {}
        }
    }
    (time, f64::to_bits(value).to_string())
}

fn histogram(message: Message<'_>) -> (i64, String) {
    let sent = read_histogram(message).expect("a histogram");
    (sent.time_ms, format!("{{{:?}}}", sent.histogram))
}

fn exemplar(time: i64, value: f64, labels: &BTreeMap<String, String>) -> (i64, String) {
    (time, format!("{} {}", text(labels), value.to_bits()))
}

fn label(mut message: Message<'_>) -> (String, String) {
    let mut texts = [const { String::new() }; 2];
    while let Some(field) = message.next().expect("reads") {
        texts[field.number as usize - 1] = field.text().expect("a text").to_owned();
    }
    texts.into()
}

fn exemplar_v1(mut message: Message<'_>) -> (i64, String) {
    let (mut labels, mut value, mut time) = (BTreeMap::new(), 0.0, 0);
    while let Some(field) = message.next().expect("reads") {
        match field.number {
            1 => labels.extend([label(field.message().expect("a label"))]),
            2 => value = field.double().expect("a double"),
            _ => time = field.integer().expect("a time"),
        }
    }
    exemplar(time, value, &labels)
}

fn exemplar_v2(mut message: Message<'_>, symbols: &[String]) -> (i64, String) {
    let (mut refs, mut value, mut time) = (Vec::new(), 0.0, 0);
    while let Some(field) = message.next().expect("reads") {
        match field.number {
            1 => field.each_unsigned(|r| refs.push(r as usize)).expect("numbers"),
            2 => value = field.double().expect("a double"),
            _ => time = field.integer().expect("a time"),
        }
    }
    let pair = |p: &[usize]| (symbols[p[0]].clone(), symbols[p[1]].clone());
    exemplar(time, value, &refs.chunks(2).map(pair).collect())
}

pub fn read_v1(bytes: &[u8], got: &mut Got) -> Vec<(Series, i64, String)> {
    let mut read = Vec::new();
    let mut request = Message::new(bytes);
    while let Some(field) = request.next().expect("reads") {
        let mut message = field.message().expect("a message");
        if field.number == 3 {
            let (mut kind, mut texts) = (0, [const { String::new() }; 6]);
            while let Some(field) = message.next().expect("reads") {
                match field.number {
                    1 => kind = field.unsigned().expect("a kind"),
                    n => texts[n as usize] = field.text().expect("a text").into(),
                }
            }
            let [_, _, name, _, help, unit] = texts;
            got.families.insert(name, (kind, help, unit));
            continue;
        }
        assert_eq!(field.number, 1);
        let mut labels = BTreeMap::new();
        let (mut samples, mut exemplars) = (Vec::new(), Vec::new());
        while let Some(field) = message.next().expect("reads") {
            let inner = field.message().expect("a message");
            match field.number {
                1 => labels.extend([label(inner)]),
                2 => samples.push(float(inner)),
                3 => exemplars.push(exemplar_v1(inner)),
                _ => samples.push(histogram(inner)),
            }
        }
        assert_eq!(samples.len() + exemplars.len(), 1, "as Prometheus does it");
        got.reading.extend(exemplars.into_iter().map(|(time, e)| (text(&labels), time, e)));
        read.extend(samples.into_iter().map(|(time, value)| (text(&labels), time, value)));
    }
    read
}

pub fn read_v2(bytes: &[u8], got: &mut Got) -> Vec<(Series, i64, String)> {
    let (mut symbols, mut read) = (Vec::new(), Vec::new());
    let mut request = Message::new(bytes);
    while let Some(field) = request.next().expect("reads") {
        if field.number == 4 {
            symbols.push(field.text().expect("a text").to_owned());
            continue;
        }
        assert_eq!(symbols.first().map(String::as_str), Some(""), "the first symbol is empty");
        let mut message = field.message().expect("a series");
        let (mut refs, mut samples, mut about) = (Vec::new(), Vec::new(), [0u64; 5]);
        let mut exemplars = Vec::new();
        while let Some(field) = message.next().expect("reads") {
            match field.number {
                1 => field.each_unsigned(|r| refs.push(r as usize)).expect("numbers"),
                2 => samples.push(float(field.message().expect("a sample"))),
                3 => samples.push(histogram(field.message().expect("a histogram"))),
                4 => exemplars.push(exemplar_v2(field.message().expect("an exemplar"), &symbols)),
                _ => {
                    let mut inner = field.message().expect("metadata");
                    while let Some(field) = inner.next().expect("reads") {
                        about[field.number as usize] = field.unsigned().expect("a number");
                    }
                }
            }
        }
        let labels: BTreeMap<String, String> =
            refs.chunks(2).map(|p| (symbols[p[0]].clone(), symbols[p[1]].clone())).collect();
        assert_eq!(samples.len(), 1, "as the specification asks");
        got.reading.extend(exemplars.into_iter().map(|(time, e)| (text(&labels), time, e)));
        let texts = (symbols[about[3] as usize].clone(), symbols[about[4] as usize].clone());
        if about[1] != 0 {
            got.families.insert(labels["__name__"].clone(), (about[1], texts.0, texts.1));
        }
        read.extend(samples.into_iter().map(|(time, value)| (text(&labels), time, value)));
    }
    read
}
