// Command otlp turns OTLP metrics in JSON (standard input) into protobuf (standard output), by
// OpenTelemetry's own library.
package main

import (
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	json, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	request := pmetricotlp.NewExportRequest()
	if err := request.UnmarshalJSON(json); err != nil {
		return err
	}
	protobuf, err := request.MarshalProto()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(protobuf)
	return err
}
