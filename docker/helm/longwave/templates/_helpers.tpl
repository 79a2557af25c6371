{{/* Name of the objects: that of the release, and of the chart if the release's does not contain it. */}}
{{- define "longwave.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which the DaemonSet and the PodMonitor select pods. They never change. */}}
{{- define "longwave.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longwave.labels" -}}
{{ include "longwave.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "longwave.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "longwave.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "longwave.priorityClassName" -}}
{{- if .Values.priorityClass.create -}}
{{- default (include "longwave.fullname" .) .Values.priorityClass.name -}}
{{- else -}}
{{- .Values.priorityClass.name -}}
{{- end -}}
{{- end -}}

{{/* `true` if the self-metrics are served at the pod's address. */}}
{{- define "longwave.exposesSelfMetrics" -}}
{{- if or .Values.selfMetrics.expose .Values.podMonitor.enabled -}}true{{- end -}}
{{- end -}}

{{/* Id of the OTLP exporter. */}}
{{- define "longwave.otlp" -}}
otlp_{{ .Values.exporters.otlp.protocol }}
{{- end -}}
