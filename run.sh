export TIREG_HOME=/tmp/curves/home2 PYTHONPATH=/work/main
T="python -m tireg"
set -x
time $T train concept.yaml --base shapes --max-steps 24 --variants --pick editable
$T train concept.yaml --base shapes --max-steps 24 --variants --pick editable --resume
$T list
$T show my-star@faithful --curves | head -8
time $T train photos/ --base shapes --name no-star --token "<no-star>" --init star --kind object --negative --steps 12 --batch 2 --keep-anyway
$T train photos/ --base shapes --name s2 --token "<s2>" --init auto --class star --kind object --steps 6 --save-every 2 --samples-every 3 --tensorboard board/ --keep-anyway
