from django.http import HttpRequest, JsonResponse

from notes.models import Note


def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"notes": list(Note.objects.values_list("text", flat=True))})
