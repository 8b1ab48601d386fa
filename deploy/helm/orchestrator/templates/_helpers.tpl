{{- define "orchestrator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "orchestrator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "orchestrator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "orchestrator.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "orchestrator.selector" -}}
app.kubernetes.io/name: {{ include "orchestrator.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "orchestrator.labels" -}}
{{ include "orchestrator.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "orchestrator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "orchestrator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "orchestrator.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- /* The reference to the connection string: of `database`, or of the owner of the schema for migrations. */ -}}
{{- define "orchestrator.databaseRef" -}}
{{- if and .owner .root.Values.migrate.existingSecret -}}
name: {{ .root.Values.migrate.existingSecret }}
key: {{ .root.Values.migrate.key }}
{{- else if .root.Values.database.existingSecret -}}
name: {{ .root.Values.database.existingSecret }}
key: {{ .root.Values.database.key }}
{{- else if .root.Values.database.url -}}
name: {{ include "orchestrator.fullname" .root }}-database
key: url
{{- else -}}
{{- fail "set database.existingSecret to a Secret with the connection string of Postgres (or database.url for a test)" -}}
{{- end -}}
{{- end -}}

{{- /* All processes must reach the same artifacts, and the archive must not end with a pod. */ -}}
{{- define "orchestrator.checkArtifacts" -}}
{{- with .Values.artifacts -}}
{{- if and .url (not .archiveUrl) -}}
{{- fail "artifacts.url is set: also set artifacts.archiveUrl, for example s3://bucket/archive" -}}
{{- end -}}
{{- if not (or .url .persistence.enabled) -}}
{{- fail "artifacts need a place that all pods reach: set artifacts.url, or enable artifacts.persistence" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The environment of all processes. */ -}}
{{- define "orchestrator.env" -}}
{{- include "orchestrator.checkArtifacts" .root -}}
- name: ORCHESTRATOR_DATABASE_URL
  valueFrom:
    secretKeyRef:
      {{- include "orchestrator.databaseRef" . | nindent 6 }}
- name: ORCHESTRATOR_DATA_DIR
  value: /data
{{- with .root.Values.artifacts.url }}
- name: ORCHESTRATOR_ARTIFACT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .root.Values.artifacts.archiveUrl }}
- name: ORCHESTRATOR_ARCHIVE_URL
  value: {{ . | quote }}
{{- end }}
- name: ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS
  value: {{ .root.Values.shutdownGraceSeconds | quote }}
{{- range $name, $value := .root.Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orchestrator.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.project.volume }}
- {name: project, mountPath: /project, readOnly: true}
{{- end }}
{{- end -}}

{{- define "orchestrator.volumes" -}}
- name: data
  {{- if or .Values.artifacts.url (not .Values.artifacts.persistence.enabled) }}
  emptyDir: {}
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-data" (include "orchestrator.fullname" .)) .Values.artifacts.persistence.existingClaim }}
  {{- end }}
- name: tmp
  emptyDir: {}
{{- if .Values.project.volume }}
- name: project
  {{- toYaml .Values.project.volume | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Everything that the pods of all processes have in common; `own` holds the values of the kind of process. */ -}}
{{- define "orchestrator.pod" -}}
serviceAccountName: {{ include "orchestrator.serviceAccount" .root }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ add .root.Values.shutdownGraceSeconds 15 }}
{{- with .own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "orchestrator.volumes" .root | nindent 2 }}
{{- end -}}

{{- define "orchestrator.container" -}}
image: {{ include "orchestrator.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- with .own.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "orchestrator.mounts" .root | nindent 2 }}
{{- end -}}
