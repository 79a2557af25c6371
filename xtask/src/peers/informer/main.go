// SPDX-License-Identifier: Apache-2.0

// A plain informer, as most node agents use it, for comparison: client-go's shared informers with default settings, which keep complete
// objects of the whole cluster, of all kinds that are needed to name the top owner of a pod.
//
// It writes the number of objects of each kind when everything is synced, and again for each line that it reads. If the line is `collect`,
// the Go runtime returns unused memory first.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"runtime/debug"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: informer SERVER TOKEN-FILE")
	}
	// Without a kubeconfig, because with one client-go sends no token over plain HTTP.
	config := &rest.Config{Host: os.Args[1], BearerTokenFile: os.Args[2]}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	kinds := []struct {
		name     string
		informer cache.SharedIndexInformer
	}{
		{"pods", factory.Core().V1().Pods().Informer()},
		{"services", factory.Core().V1().Services().Informer()},
		{"endpointslices", factory.Discovery().V1().EndpointSlices().Informer()},
		{"replicasets", factory.Apps().V1().ReplicaSets().Informer()},
		{"jobs", factory.Batch().V1().Jobs().Informer()},
	}
	report := func() {
		for _, kind := range kinds {
			fmt.Printf("%s=%d ", kind.name, len(kind.informer.GetStore().ListKeys()))
		}
		fmt.Println()
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	report()
	// The test closes stdin to stop it.
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); report() {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
		}
	}
}
