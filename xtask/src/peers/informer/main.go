// SPDX-License-Identifier: Apache-2.0

// The plain informer that a node agent is usually built on, as a yardstick: client-go's shared informers with their default settings, whole
// objects of the whole cluster, and of everything that is needed to name a pod's top owner.
//
// It writes a line when everything is synced, and one for each line that it reads: how many objects of each kind it holds; after the word
// `collect`, when the Go runtime has given back what it can.
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
	// Not by a kubeconfig: client-go would not send its token to a proxy that speaks plain HTTP.
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
	tell := func() {
		for _, kind := range kinds {
			fmt.Printf("%s=%d ", kind.name, len(kind.informer.GetStore().ListKeys()))
		}
		fmt.Println()
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	tell()
	// Its end is the test's.
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); tell() {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
		}
	}
}
