//! Templates as Go's `text/template` would write them.

use super::*;

fn fields() -> Fields {
    let values = [("namespace", "shop"), ("pod", "a|b"), ("queue.name", "q")];
    let values = values.map(|(k, v)| (k.to_owned(), v.to_owned()));
    Fields::default()
        .with("Series", Field::Text("http_requests_total".into()))
        .with("LabelMatchers", Field::Text("namespace=\"shop\",pod=~\"a|b\"".into()))
        .with("LabelValuesByName", Field::Map(values.into()))
        .with("GroupBy", Field::Text("pod,verb".into()))
        .with("GroupBySlice", Field::List(vec!["pod".into(), "verb".into()]))
}

fn run(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.run(&fields())
}

/// Each line: a template and what Go's `text/template` gave for it.
#[test]
fn gives_what_go_gives() {
    for (template, expected) in [
        (
            "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)",
            "sum(rate(http_requests_total{namespace=\"shop\",pod=~\"a|b\"}[2m])) by (pod,verb)",
        ),
        ("<<index .GroupBySlice 1>> <<index .LabelValuesByName \"queue.name\">>", "verb q"),
        ("[<<.LabelValuesByName.pod>>] [<<.LabelValuesByName.none>>]", "[a|b] [<no value>]"),
        ("[<<index .LabelValuesByName \"none\">>]", "[]"),
        (
            "<<range $key, $value := .LabelValuesByName>><<if ne $key \"pod\">><<$key>>=~\"<<$value>>.*\",<<end>><<end>>",
            "namespace=~\"shop.*\",queue.name=~\"q.*\",",
        ),
        ("<<range $i, $g := .GroupBySlice>><<if $i>>,<<end>><<$g>><<end>>", "pod,verb"),
        ("<<range .GroupBySlice>><<.>> <<else>>none<<end>>", "pod verb "),
        ("a  <<- .Series ->>  b", "ahttp_requests_totalb"),
        ("a <</* nothing */>> b <<- /* trimmed */ ->> c", "a  bc"),
        ("<<with .LabelValuesByName.pod>><<.>><<else>>no<<end>>", "a|b"),
        ("<<with .LabelValuesByName.x>><<.>><<else>>no<<end>>", "no"),
        (
            "<<if eq .Series \"a\" \"http_requests_total\">>yes<<else if true>>2<<else>>3<<end>>",
            "yes",
        ),
        ("<<if and (gt (len .GroupBySlice) 1) (not false)>>two<<end>>", "two"),
        ("<<printf \"%s-%05.2f-%d-%q\" .Series 1.5 3 \"x\">>", "http_requests_total-01.50-3-\"x\""),
        ("<<.Series | printf \"%-25s|\">>", "http_requests_total      |"),
        ("<<$x := 1>><<if true>><<$x = 2>><<$x>><<end>><<$x>> <<$.Series | len>>", "22 19"),
        ("<<range .GroupBySlice>><<if eq . \"verb\">><<break>><<end>><<.>><<end>>", "pod"),
        ("<<range .GroupBySlice>><<if eq . \"pod\">><<continue>><<end>><<.>><<end>>", "verb"),
        (
            "<<slice .Series 0 4>> <<or .LabelValuesByName.x \"d\">> <<print 1 2 \"a\" 3>>",
            "http d 1 2a3",
        ),
        ("<<.GroupBySlice>> <<`raw`>> <<1e3>> <<-1>>", "[pod verb] raw 1000 -1"),
        ("no action, {{ these }} are text", "no action, {{ these }} are text"),
    ] {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (template, expected) in [
        ("sum(<<.Series", "<< without its >> at character 5"),
        ("é<<.Sries>>", "there is no field .Sries; there are .GroupBy"),
        ("<<if .Series>>x", "if without its end at character 1"),
        ("x<<end>>", "an end without its if, range or with at character 2"),
        ("<<else>>", "an else without its"),
        ("<<template \"x\">>", "template is not supported in a rule"),
        ("<<html .Series>>", "unknown function \"html\"; there are and, eq"),
        ("<<$x>>", "undefined variable $x"),
        ("<<.Series .GroupBy>>", "arguments behind what is no function"),
        ("<<.Series | .GroupBy>>", "cannot be piped"),
        ("<<index .GroupBySlice 7>>", "index out of range: 7"),
        ("<<lt 1 \"a\">>", "incompatible types for comparison: int and string"),
        ("<<range .Series>><<end>>", "range can't iterate over a string"),
        ("<<\"a>>", "a string without its closing quote"),
        ("<<break>>", "break outside of range"),
        ("<<(1>>", "( without its )"),
        ("<<>>", "a value is missing"),
        ("<<1x>>", "bad number \"1x\""),
        ("<<#>>", "unexpected '#'"),
        ("<<.Series.Name>>", "can't take field .Name of a string"),
    ] {
        let error = run(template).expect_err(template).to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
    let endless = "<<range 1000>><<range 1000>>x<<end>><<end>>";
    assert!(run(endless).expect_err("too long").what.contains("no end"));
}
