{{/* Labels of pods from which Istio's names take the canonical service and revision. */}}
{{- define "longwave.podLabels" -}}
{{- $labels := .Values.podLabelsAsAttributes -}}
{{- if and .Values.exporters.prometheus.enabled (ne .Values.exporters.prometheus.naming "otel") -}}
{{- $labels = concat $labels (list "service.istio.io/canonical-name" "app.kubernetes.io/name" "app" "service.istio.io/canonical-revision" "app.kubernetes.io/version" "version") | uniq -}}
{{- end -}}
{{- toJson $labels -}}
{{- end -}}

{{/* The OTLP exporter. */}}
{{- define "longwave.otlpConfig" -}}
{{- $otlp := .Values.exporters.otlp -}}
endpoint: {{ ternary "${env:OTLP_ENDPOINT:-localhost:4317}" "${env:OTLP_ENDPOINT:-http://localhost:4318}" (eq $otlp.protocol "grpc") }}
{{- $tls := dict -}}
{{- if eq $otlp.protocol "grpc" }}{{ $_ := set $tls "insecure" $otlp.tls.insecure }}{{ end -}}
{{- range $key, $file := dict "ca_file" $otlp.tls.caKey "cert_file" $otlp.tls.certKey "key_file" $otlp.tls.keyKey -}}
{{- if $file }}{{ $_ := set $tls $key (printf "/etc/longwave-tls/%s" $file) }}{{ end -}}
{{- end -}}
{{- with $tls }}
tls: {{ toJson . }}
{{- end }}
{{- if $otlp.headers }}
headers:
{{- range $index, $name := keys $otlp.headers | sortAlpha }}
  {{ $name }}: ${env:OTLP_HEADER_{{ $index }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* The configuration without `config`. */}}
{{- define "longwave.baseConfig" -}}
{{- $exporters := .Values.exporters -}}
{{- $filter := ternary (list "filter/scope") (list) (not (empty .Values.scope.filter)) -}}
extensions:
  health_check:
    endpoint: {{ .Values.bindAddress }}:{{ int .Values.healthCheck.port }}
  kubernetes:
    node: ${env:NODE_NAME}
    {{- if ne .Values.scope.names "cluster" }}
    scope: {{ .Values.scope.names }}
    {{- end }}
    {{- $labels := include "longwave.podLabels" . }}
    {{- if ne $labels "[]" }}
    labels: {{ $labels }}
    {{- end }}
    {{- with .Values.podAnnotationsAsAttributes }}
    annotations: {{ toJson . }}
    {{- end }}
  static:
    file: /etc/longwave/names.yaml
receivers:
  bpf: {{ toJson .Values.receiver }}
processors:
  workload:
    sources: [kubernetes, static, cgroup]
  service:
    sources: [kubernetes, static]
  {{- if or $exporters.otlp.enabled $exporters.prometheus.enabled }}
  window: {{ toJson .Values.window }}
  {{- end }}
  {{- if and .Values.logs.enabled $exporters.otlp.enabled }}
  filter/ends:
    include:
      events: {{ toJson .Values.logs.events }}
  {{- end }}
  {{- with .Values.scope.filter }}
  filter/scope: {{ toJson . }}
  {{- end }}
exporters:
  {{- if $exporters.otlp.enabled }}
  {{ include "longwave.otlp" . }}: {{ mergeOverwrite (include "longwave.otlpConfig" . | fromYaml) $exporters.otlp.settings | toJson }}
  {{- end }}
  {{- if $exporters.prometheus.enabled }}
  prometheus: {{ mergeOverwrite (dict "endpoint" (printf "%s:%d" .Values.bindAddress (int $exporters.prometheus.port)) "naming" $exporters.prometheus.naming) $exporters.prometheus.settings | toJson }}
  {{- end }}
service:
  extensions: [health_check, kubernetes, static]
  {{- if include "longwave.exposesSelfMetrics" . }}
  telemetry:
    metrics:
      address: {{ .Values.bindAddress }}:{{ int .Values.selfMetrics.port }}
  {{- else if ne (int .Values.selfMetrics.port) 8888 }}
  telemetry:
    metrics:
      address: localhost:{{ int .Values.selfMetrics.port }}
  {{- end }}
  pipelines:
    {{- if or $exporters.otlp.enabled $exporters.prometheus.enabled }}
    metrics:
      receivers: [bpf]
      processors: {{ concat $filter (list "workload" "service" "window") | toJson }}
      exporters: {{ concat (ternary (list (include "longwave.otlp" .)) (list) $exporters.otlp.enabled) (ternary (list "prometheus") (list) $exporters.prometheus.enabled) | toJson }}
    {{- end }}
    {{- if and .Values.logs.enabled $exporters.otlp.enabled }}
    logs:
      receivers: [bpf]
      processors: {{ concat $filter (list "filter/ends" "workload" "service") | toJson }}
      exporters: {{ list (include "longwave.otlp" .) | toJson }}
    {{- end }}
{{- end -}}

{{/* config.yaml */}}
{{- define "longwave.config" -}}
{{- $base := include "longwave.baseConfig" . | fromYaml -}}
{{- if hasKey $base "Error" }}{{ fail (printf "the configuration is no YAML: %s" $base.Error) }}{{ end -}}
{{- mergeOverwrite $base .Values.config | toYaml -}}
{{- end -}}
