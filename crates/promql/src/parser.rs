//! The parser: recursive descent with binding powers, one word of look-ahead.
//!
//! What it accepts and every message with its position are those of Prometheus 3's grammar. Errors
//! that do not hinder reading on are collected; the first of all is the one that counts.

use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Matching, Modifiers, Number,
    Paren, ParseError, Span, StringLiteral, Unary, VectorSelector,
};
use crate::function;
use crate::lexer::Lexer;
use crate::literal::{parse_number, unquote, unquote_bytes};
use crate::query::ParseOptions;
use crate::token::{Keyword, Kind, Token};
use model::labels::{METRIC_NAME, Quoted};
use model::{MatchOp, Matcher};

/// A depth that no sane query reaches and no stack suffers from.
const MAX_DEPTH: usize = 400;
/// Operators and subqueries in a row make a tree deep as well.
const MAX_LINKS: usize = 1000;

/// The text cannot be read on; whether it was said why.
pub(crate) struct Stop {
    pub(crate) said: bool,
}

pub(crate) type Parsed<T> = Result<T, Stop>;

pub(crate) struct Parser<'a> {
    pub(crate) input: &'a str,
    pub(crate) options: ParseOptions,
    lexer: Lexer<'a>,
    /// The next word, once it was asked for.
    ahead: Option<Token<'a>>,
    /// End of the last word taken.
    pub(crate) last_end: usize,
    errors: Vec<ParseError>,
    depth: usize,
    links: usize,
}

/// Parses an expression and checks its types.
pub(crate) fn parse_expression(input: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(input, options);
    let mut expr = parser.whole(|p| {
        if p.peek().kind == Kind::Eof {
            p.error(Span::default(), "no expression found in input");
            return Err(Stop { said: true });
        }
        p.expression(0)
    })?;
    crate::check::check(&mut expr, &mut parser);
    parser.finish(expr)
}

/// Parses a selector without modifiers.
pub(crate) fn parse_selector(input: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(input, ParseOptions::default());
    let selector = parser.whole(|p| {
        let name = if p.is_metric_name() { Some(p.take()) } else { None };
        if name.is_none() && p.peek().kind != Kind::LeftBrace {
            return Err(Stop { said: false });
        }
        p.vector_selector(name)
    })?;
    parser.finish(selector.matchers)
}

impl<'a> Parser<'a> {
    fn new(input: &'a str, options: ParseOptions) -> Parser<'a> {
        let lexer = Lexer::new(input);
        let (errors, depth, links) = (Vec::new(), 0, 0);
        Parser { input, options, lexer, ahead: None, last_end: 0, errors, depth, links }
    }

    /// Runs `body` up to the end of the text.
    fn whole<T>(&mut self, body: impl FnOnce(&mut Self) -> Parsed<T>) -> Result<T, ParseError> {
        let parsed = body(self).and_then(|value| {
            if self.peek().kind == Kind::Eof { Ok(value) } else { Err(Stop { said: false }) }
        });
        match parsed {
            Ok(value) => Ok(value),
            Err(stop) => {
                self.explain(stop, "", "");
                Err(self.errors.swap_remove(0))
            }
        }
    }

    fn finish<T>(self, value: T) -> Result<T, ParseError> {
        match self.errors.into_iter().next() {
            None => Ok(value),
            Some(error) => Err(error),
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        let position = span.position(self.input);
        self.errors.push(ParseError { message: message.into(), span, position });
    }

    pub(crate) fn peek(&mut self) -> &Token<'a> {
        if self.ahead.is_none() {
            let token = self.lexer.next_token();
            if let Kind::Error(message) = &token.kind {
                self.error(token.span, message.clone());
            }
            self.ahead = Some(token);
        }
        // Filled just above.
        self.ahead.get_or_insert_with(|| unreachable!())
    }

    pub(crate) fn take(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        self.ahead = None;
        self.last_end = token.span.end;
        token
    }

    pub(crate) fn expect(&mut self, kind: Kind) -> Parsed<Token<'a>> {
        if self.peek().kind == kind { Ok(self.take()) } else { Err(Stop { said: false }) }
    }

    pub(crate) fn accept(&mut self, kind: Kind) -> bool {
        let found = self.peek().kind == kind;
        if found {
            self.take();
        }
        found
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> bool {
        self.accept(Kind::Keyword(keyword))
    }

    /// Says that the next word has no place here, unless that was said.
    pub(crate) fn explain(&mut self, stop: Stop, context: &str, expected: &str) -> Stop {
        if stop.said {
            return stop;
        }
        let token = self.peek().clone();
        if !token.is_error() {
            let mut message = format!("unexpected {}", token.described());
            if !context.is_empty() {
                message += &format!(" in {context}");
            }
            if !expected.is_empty() {
                message += &format!(", expected {expected}");
            }
            self.error(token.span, message);
        }
        Stop { said: true }
    }

    /// An expression whose binary operators bind at least as strongly as `least`.
    fn expression(&mut self, least: u8) -> Parsed<Expr> {
        self.nested(|parser| parser.binary(least))
    }

    /// Runs `body` one level deeper; fails beyond the deepest.
    pub(crate) fn nested<T>(&mut self, body: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let span = self.peek().span;
            self.error(span, format!("expression is nested deeper than {MAX_DEPTH} levels"));
            return Err(Stop { said: true });
        }
        let result = body(self);
        self.depth -= 1;
        result
    }

    /// Notes that one more operator or subquery follows; fails beyond the limit.
    pub(crate) fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        if self.links <= MAX_LINKS {
            return Ok(());
        }
        let span = self.peek().span;
        self.error(span, format!("expression has more than {MAX_LINKS} operators"));
        Err(Stop { said: true })
    }

    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let mut lhs = self.unary()?;
        loop {
            let Kind::Op(op) = self.peek().kind else { return Ok(lhs) };
            let power = binding_power(op);
            if power < least {
                return Ok(lhs);
            }
            self.link()?;
            self.take();
            let (return_bool, matching) = self.binary_modifiers()?;
            // Only ^ binds to the right.
            let rhs = self.expression(if op == BinaryOp::Pow { power } else { power + 1 })?;
            let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
            let (lhs_box, rhs) = (Box::new(lhs), Box::new(rhs));
            lhs = Expr::Binary(Binary {
                op,
                lhs: lhs_box,
                rhs,
                matching: Some(matching),
                return_bool,
            });
            if filled && !self.options.fill_modifiers {
                self.error(lhs.span(), "binop fill modifiers are experimental and not enabled");
            }
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let minus = match self.peek().kind {
            Kind::Op(BinaryOp::Add) => false,
            Kind::Op(BinaryOp::Sub) => true,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let start = self.take().span.start;
        Ok(match self.expression(binding_power(BinaryOp::Pow))? {
            Expr::Number(mut n) => {
                n.value = if minus { -n.value } else { n.value };
                n.span.start = start;
                Expr::Number(n)
            }
            expr => Expr::Unary(Unary { minus, expr: Box::new(expr), start }),
        })
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.peek().kind.clone() {
            Kind::Number | Kind::Duration => Ok(Expr::Number(self.number_or_duration())),
            Kind::String => {
                let token = self.take();
                let bytes = unquote_bytes(token.text);
                let value = self.unquoted(&token);
                let invalid = bytes.filter(|b| std::str::from_utf8(b).is_err()).map(Into::into);
                Ok(Expr::String(StringLiteral { value, invalid, span: token.span }))
            }
            Kind::LeftParen => {
                let start = self.take().span.start;
                let expr = Box::new(self.expression(0)?);
                let end = self.expect(Kind::RightParen)?.span.end;
                Ok(Expr::Paren(Paren { expr, span: Span { start, end } }))
            }
            Kind::LeftBrace => self.vector_selector(None).map(Expr::Vector),
            Kind::Aggregate(op) => {
                let word = self.take();
                match self.peek().kind {
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => {
                        let parsed = self.aggregate(op, &word);
                        parsed.map_err(|stop| self.explain(stop, "aggregation", ""))
                    }
                    _ => self.vector_selector(Some(word)).map(Expr::Vector),
                }
            }
            Kind::Identifier | Kind::Preprocessor(_) => {
                let word = self.take();
                if self.peek().kind == Kind::LeftParen {
                    return self.call(&word);
                }
                self.vector_selector(Some(word)).map(Expr::Vector)
            }
            _ if self.is_metric_name() => {
                let word = self.take();
                self.vector_selector(Some(word)).map(Expr::Vector)
            }
            _ => Err(Stop { said: false }),
        }
    }

    /// Whether the next word can be a metric name without quotes.
    fn is_metric_name(&mut self) -> bool {
        use Keyword::*;
        match self.peek().kind {
            Kind::Identifier
            | Kind::MetricIdentifier
            | Kind::Aggregate(_)
            | Kind::Preprocessor(_) => true,
            Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
            Kind::Keyword(k) => {
                matches!(
                    k,
                    By | Without | Fill | FillLeft | FillRight | Offset | Anchored | Smoothed
                )
            }
            _ => false,
        }
    }

    fn aggregate(&mut self, op: AggregateOp, word: &Token<'a>) -> Parsed<Expr> {
        let mut modifier = self.aggregate_modifier()?;
        let mut args = self.arguments()?;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
        }
        let span = Span { start: word.span.start, end: self.last_end };
        let (without, grouping) = modifier.unwrap_or_default();
        let missing = || Box::new(Expr::Number(Number { value: 0.0, duration: false, span }));
        let mut result = Aggregate { op, expr: missing(), param: None, grouping, without, span };
        if args.is_empty() {
            self.error(span, "no arguments for aggregate expression provided");
            return Ok(Expr::Aggregate(result));
        }
        let mut wanted = 1;
        if op.has_param() {
            if matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio)
                && !self.options.experimental_functions
            {
                self.error(
                    span,
                    format!(
                        "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                        op.as_str()
                    ),
                );
                return Ok(Expr::Aggregate(result));
            }
            wanted = 2;
        }
        if args.len() != wanted {
            let got = args.len();
            self.error(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
                ),
            );
            return Ok(Expr::Aggregate(result));
        }
        if let Some(expr) = args.pop() {
            result.expr = Box::new(expr);
        }
        result.param = args.pop().map(Box::new);
        Ok(Expr::Aggregate(result))
    }

    fn aggregate_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek().kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        if !self.accept(Kind::LeftParen) {
            return Err(self.explain(Stop { said: false }, "grouping opts", "\"(\""));
        }
        let mut labels = Vec::new();
        loop {
            if self.accept(Kind::RightParen) {
                return Ok(labels);
            }
            labels.push(self.grouping_label()?);
            if self.accept(Kind::RightParen) {
                return Ok(labels);
            }
            if !self.accept(Kind::Comma) {
                return Err(self.explain(Stop { said: false }, "grouping opts", "\",\" or \")\""));
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let kind = self.peek().kind.clone();
        let name = match kind {
            Kind::Identifier
            | Kind::MetricIdentifier
            | Kind::Aggregate(_)
            | Kind::Preprocessor(_) => self.take().text.to_string(),
            Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2) => {
                self.take().text.to_string()
            }
            Kind::Keyword(k) if k != Keyword::Without => self.take().text.to_string(),
            Kind::String => {
                let token = self.take();
                let name = self.unquoted(&token);
                if name.is_empty() {
                    self.error(token.span, "invalid label name for grouping: \"\"");
                }
                name
            }
            _ => return Err(self.explain(Stop { said: false }, "grouping opts", "label")),
        };
        Ok(name)
    }

    fn call(&mut self, word: &Token<'a>) -> Parsed<Expr> {
        let args = self.arguments()?;
        let span = Span { start: word.span.start, end: self.last_end };
        let Some(func) = function::find(word.text) else {
            self.error(word.span, format!("unknown function with name {}", Quoted(word.text)));
            return Ok(Expr::Number(Number { value: 0.0, duration: false, span }));
        };
        if func.experimental && !self.options.experimental_functions {
            self.error(word.span, format!("function {} is not enabled", Quoted(word.text)));
        }
        Ok(Expr::Call(Call { func, args, span }))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if self.accept(Kind::RightParen) {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.peek().kind != Kind::Comma {
                break;
            }
            let comma = self.take();
            if self.peek().kind == Kind::RightParen {
                self.error(comma.span, "trailing commas not allowed in function call args");
                break;
            }
        }
        self.expect(Kind::RightParen)?;
        Ok(args)
    }

    fn binary_modifiers(&mut self) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        let return_bool = self.accept_keyword(Keyword::Bool);
        let on = self.accept_keyword(Keyword::On);
        if on || self.accept_keyword(Keyword::Ignoring) {
            matching.on = on;
            matching.labels = self.grouping_labels()?;
            let left = self.accept_keyword(Keyword::GroupLeft);
            if left || self.accept_keyword(Keyword::GroupRight) {
                matching.card = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.peek().kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        if self.accept_keyword(Keyword::Fill) {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.accept_keyword(Keyword::FillLeft) {
            matching.fill_left = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillRight) {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.accept_keyword(Keyword::FillRight) {
            matching.fill_right = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillLeft) {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// A number, or a duration in seconds, with or without a sign.
    pub(crate) fn signed_number(&mut self) -> Parsed<f64> {
        let minus = self.accept(Kind::Op(BinaryOp::Sub));
        if !minus {
            self.accept(Kind::Op(BinaryOp::Add));
        }
        if !matches!(self.peek().kind, Kind::Number | Kind::Duration) {
            return Err(Stop { said: false });
        }
        let value = self.number_or_duration().value;
        Ok(if minus { -value } else { value })
    }

    /// The number or duration that is the next word.
    pub(crate) fn number_or_duration(&mut self) -> Number {
        let token = self.take();
        let duration = token.kind == Kind::Duration;
        let value = if duration {
            match crate::duration::parse_duration(token.text) {
                Ok(ns) => ns_to_seconds(ns),
                Err(message) => {
                    self.error(token.span, message);
                    0.0
                }
            }
        } else {
            parse_number(token.text).unwrap_or_else(|| {
                let reason = if token.text.contains(['e', 'E']) && !token.text.starts_with("0x") {
                    "value out of range"
                } else {
                    "invalid syntax"
                };
                let text = Quoted(token.text);
                self.error(
                    token.span,
                    format!("error parsing number: strconv.ParseFloat: parsing {text}: {reason}"),
                );
                0.0
            })
        };
        Number { value, duration, span: token.span }
    }

    fn unquoted(&mut self, token: &Token<'a>) -> String {
        unquote(token.text).unwrap_or_else(|| {
            let text = Quoted(token.text);
            self.error(token.span, format!("error unquoting string {text}: invalid syntax"));
            String::new()
        })
    }

    fn vector_selector(&mut self, name: Option<Token<'a>>) -> Parsed<VectorSelector> {
        let mut span = name.as_ref().map_or(Span::default(), |n| n.span);
        let mut matchers = Vec::new();
        if self.peek().kind == Kind::LeftBrace {
            let open = self.take().span;
            matchers = self.matchers()?;
            span = Span {
                start: name.as_ref().map_or(open.start, |n| n.span.start),
                end: self.last_end,
            };
        }
        let name = name.map(|n| n.text.to_string()).unwrap_or_default();
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, &name));
        }
        let modifiers = Modifiers::default();
        let (anchored, smoothed, counts_only, may_match_all) = (false, false, false, false);
        Ok(VectorSelector {
            name,
            matchers,
            modifiers,
            anchored,
            smoothed,
            counts_only,
            may_match_all,
            span,
        })
    }

    /// The matchers after an opening brace, and the closing one.
    fn matchers(&mut self) -> Parsed<Vec<Matcher>> {
        let mut matchers = Vec::new();
        loop {
            if self.accept(Kind::RightBrace) {
                return Ok(matchers);
            }
            if let Some(matcher) = self.matcher()? {
                matchers.push(matcher);
            }
            if self.accept(Kind::RightBrace) {
                return Ok(matchers);
            }
            if !self.accept(Kind::Comma) {
                return Err(self.explain(Stop { said: false }, "label matching", "\",\" or \"}\""));
            }
        }
    }

    /// One matcher; `None` where its regular expression does not parse, which was said.
    fn matcher(&mut self) -> Parsed<Option<Matcher>> {
        let unexpected = Stop { said: false };
        let quoted = match self.peek().kind {
            Kind::Identifier => false,
            Kind::String => true,
            _ => return Err(self.explain(unexpected, "label matching", "identifier or \"}\"")),
        };
        let label = self.take();
        let name = if quoted { self.unquoted(&label) } else { label.text.to_string() };
        let op = match self.peek().kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotEqualRegex => MatchOp::NotRegex,
            _ if quoted => return Ok(Some(Matcher::equal(METRIC_NAME, &name))),
            _ => return Err(self.explain(unexpected, "label matching", "label matching operator")),
        };
        self.take();
        if self.peek().kind != Kind::String {
            return Err(self.explain(unexpected, "label matching", "string"));
        }
        let value = self.take();
        let text = self.unquoted(&value);
        match Matcher::new(op, &name, &text) {
            Ok(matcher) => Ok(Some(matcher)),
            Err(reason) => {
                self.error(label.span.to(value.span), reason);
                Ok(None)
            }
        }
    }
}

fn ns_to_seconds(ns: i64) -> f64 {
    (ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9
}

fn binding_power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As deep as it gets: the text is refused beyond, and nothing overflows on the way.
    #[test]
    fn depth_has_a_limit_whatever_makes_it() {
        let repeated = |begin: &str, middle: &str, end: &str, count: usize| {
            format!("{}{middle}{}", begin.repeat(count), end.repeat(count))
        };
        let said = |text: &str| {
            let parsed = parse_expression(text, ParseOptions::default());
            parsed.map_err(|e| e.message).err().unwrap_or_default()
        };
        for (deep, count) in
            [(("(", "1", ")"), 390), (("-", "1", ""), 390), (("1 + ", "1", ""), 999)]
        {
            let (begin, middle, end) = deep;
            assert_eq!(said(&repeated(begin, middle, end, count)), "", "{begin}{end}");
        }
        let bombs = [
            repeated("(", "1", ")", 50_000),
            repeated("-", "1", "", 50_000),
            repeated("1 + ", "1", "", 50_000),
            repeated("1 ^ ", "1", "", 50_000),
            repeated("", "up", "[5m:1m]", 50_000),
            format!("up[{}]", repeated("(", "5m", ")", 50_000)),
            format!("up[{}]", repeated("-", "5m", "", 50_000)),
            format!("up[{}]", repeated("1 + ", "5m", "", 50_000)),
            format!("up[{}]", repeated("max_of(1, ", "5m", ")", 50_000)),
            format!("up offset {}", repeated("(", "5m", ")", 50_000)),
            repeated("sum(", "up", ")", 50_000),
        ];
        for text in bombs {
            let why = said(&text);
            let limits = ["nested deeper than 400 levels", "more than 1000 operators"];
            assert!(limits.iter().any(|l| why.contains(l)), "{}: {why}", &text[..20]);
        }
    }
}
