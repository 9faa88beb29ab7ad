// cAdvisor as a program: its manager and its Prometheus collectors with the metric groups that the
// standalone cAdvisor switches on by default, its plugins for containerd, systemd and the usual file systems, and
// the labels of the kubelet.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	_ "github.com/google/cadvisor/container/containerd/install"
	_ "github.com/google/cadvisor/container/systemd/install"
	_ "github.com/google/cadvisor/fs/btrfs/install"
	_ "github.com/google/cadvisor/fs/nfs/install"
	_ "github.com/google/cadvisor/fs/overlay/install"
	_ "github.com/google/cadvisor/fs/tmpfs/install"
	_ "github.com/google/cadvisor/fs/vfs/install"
	info "github.com/google/cadvisor/info/v1"
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

func labelsOf(c *info.ContainerInfo) map[string]string {
	labels := map[string]string{"id": c.Name, "name": "", "image": c.Spec.Image,
		"pod":       c.Spec.Labels["io.kubernetes.pod.name"],
		"namespace": c.Spec.Labels["io.kubernetes.pod.namespace"],
		"container": c.Spec.Labels["io.kubernetes.container.name"]}
	if len(c.Aliases) > 0 {
		labels["name"] = c.Aliases[0]
	}
	return labels
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	cached := flag.Bool("cached", false, "answer from the last housekeeping, as cAdvisor does by itself")
	flag.Parse() // cAdvisor's own flags are registered by its packages
	off := container.MetricSet{}
	if err := off.Set("advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp"); err != nil {
		log.Fatal(err)
	}
	groups := container.AllMetrics.Difference(off)
	m, err := manager.New(memory.New(2*time.Minute, nil), sysfs.NewRealSysFs(), manager.HousekeepingConfigFlags, groups, http.DefaultClient, []string{"/"}, []string{""}, "", 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	zero := time.Duration(0)
	fresh := &zero // read when asked, so that two programs asked at once answer about the same moment
	if *cached {
		fresh = nil
	}
	registry.MustRegister(
		metrics.NewPrometheusCollector(m, labelsOf, groups, clock.RealClock{}, v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true, MaxAge: fresh}),
		metrics.NewPrometheusMachineCollector(m, groups))
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
